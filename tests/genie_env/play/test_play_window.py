from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from genie_env.bundle import read_config
from genie_env.data.episodes import EpisodeStore
from genie_env.frames import upscale
from tests.helpers import fake_game
from tests.helpers.fake_game import DOWN, NOOP, UP, picture
from tests.helpers.paths import ROOT
from tests.helpers.policies import make_token_policy


@contextlib.contextmanager
def virtual_display(folder: Path) -> Iterator[str]:
    """A display whose screen lies in ``folder``, for :func:`screen`."""
    read, write = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(write),
        "-screen",
        "0",
        "800x700x24",
        "-nolisten",
        "tcp",
        "-fbdir",
        str(folder),
    ]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def screen(folder: Path) -> np.ndarray:
    """What the display shows, uint8 [H, W, 3]: the X window dump that the server keeps."""
    dump = (folder / "Xvfb_screen0").read_bytes()
    header = np.frombuffer(dump, ">u4", 25)
    width, height, bits, row_bytes, num_colours = (int(header[i]) for i in (4, 5, 11, 12, 19))
    assert bits == 32
    pixels = np.frombuffer(dump, np.uint8, row_bytes * height, int(header[0]) + 12 * num_colours)
    return pixels.reshape(height, row_bytes // 4, 4)[:, :width, 2::-1]


def shows(folder: Path, picture_HWC: np.ndarray) -> bool:
    """Whether the picture is somewhere on the screen, to the pixel."""
    shown, (height, width) = screen(folder), picture_HWC.shape[:2]
    places = np.ones((len(shown) - height + 1, shown.shape[1] - width + 1), bool)
    # A few telling pixels leave few candidates: the corners, and some that differ from the first.
    telling = np.argwhere((picture_HWC != picture_HWC[0, 0]).any(-1))
    corners = [(y, x) for y in (0, height - 1) for x in (0, width - 1)]
    for y, x in [*corners, *telling[:: len(telling) // 20 + 1].tolist()]:
        places &= (shown[y : y + places.shape[0], x : x + places.shape[1]] == picture_HWC[y, x]).all(-1)
    return any(np.array_equal(shown[y : y + height, x : x + width], picture_HWC) for y, x in np.argwhere(places))


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Desktop:
    """A virtual display with a program on it whose window takes keys."""

    def __init__(self, display: str, command: list[str], errors: IO[str] | None = None) -> None:
        # By class, because without a window manager xdotool finds no titles.
        names = {"DISPLAY": display, "SDL_VIDEODRIVER": "x11", "SDL_VIDEO_X11_WMCLASS": "genie-test"}
        self._environment = os.environ | names
        self.program = subprocess.Popen(command, env=self._environment, cwd=ROOT, stderr=errors)
        self.window = self.xdotool("search", "--sync", "--onlyvisible", "--class", "genie-test").split()[0]
        self.focus()

    def focus(self) -> None:
        """Give the window the keyboard; a window that is only about to appear does not take it yet."""
        wait_for(lambda: self._run("windowfocus", "--sync", self.window).returncode == 0)

    def xdotool(self, *words: str) -> str:
        done = self._run(*words)
        done.check_returncode()
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["xdotool", *words]
        return subprocess.run(command, env=self._environment, text=True, capture_output=True, timeout=60, check=False)

    def close(self) -> None:
        self.program.kill()
        self.program.wait()


NEEDS_DISPLAY = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool"
)


@NEEDS_DISPLAY
def test_person_plays_in_a_real_window(tmp_path: Path) -> None:
    with virtual_display(tmp_path) as display:
        desk = Desktop(display, [sys.executable, "-m", fake_game.__name__, str(tmp_path)])
        try:
            desk.xdotool("keydown", "Up")
            wait_for(lambda: shows(tmp_path, upscale(picture(0), 8)))
            desk.xdotool("keyup", "Up", "key", "p", "sleep", "0.3", "key", "F12")
            wait_for((tmp_path / "genie-001.png").exists)
            # In a smaller window the game is smaller by a whole number; without its bar there is room for more of it.
            desk.xdotool("windowsize", "--sync", desk.window, "480", "300")
            wait_for(lambda: shows(tmp_path, upscale(picture(0), 4)))
            desk.focus()
            desk.xdotool("key", "h")
            wait_for(lambda: shows(tmp_path, upscale(picture(0), 9)))
            desk.xdotool("key", "Escape")
            assert desk.program.wait(60) == 0
        finally:
            desk.close()
    with Image.open(tmp_path / "genie-001.png") as image:
        shown = np.asarray(image)
    left = (shown.shape[1] - 256) // 2
    assert np.array_equal(shown[:256, left : left + 256], upscale(picture(0), 8))
    assert (shown[256:] > 200).any(), "the bar is empty"


@NEEDS_DISPLAY
def test_person_plays_a_world_in_a_real_window_and_records_it(endless_world: Path, tmp_path: Path) -> None:
    flags = [
        "--world",
        str(endless_world),
        "--out",
        str(tmp_path),
        "--record",
        str(tmp_path / "played"),
        "--scale",
        "4",
    ]
    command = [sys.executable, "-W", "error", "-c", "from genie_env.cli import main; raise SystemExit(main())", "play"]
    with virtual_display(tmp_path) as display:
        desk = Desktop(display, [*command, *flags])
        try:
            desk.xdotool("keydown", "Up", "sleep", "1", "keyup", "Up", "key", "p", "sleep", "0.5", "key", "F12")
            wait_for((tmp_path / "genie-001.png").exists)
            with Image.open(tmp_path / "genie-001.png") as image:
                shown = np.asarray(image)
            left = (shown.shape[1] - 256) // 2
            wait_for(lambda: shows(tmp_path, shown[:256, left : left + 256]))
            desk.xdotool("key", "Escape")
            assert desk.program.wait(60) == 0
        finally:
            desk.close()
    store = EpisodeStore(tmp_path / "played")
    frames = np.concatenate([store.array("frames", entry) for entry in store.manifest.episodes])
    assert any(np.array_equal(shown[:256, left : left + 256], upscale(frame, 4)) for frame in frames)
    assert any((store.array("actions", entry) == 1).any() for entry in store.manifest.episodes), "UP was held"


@NEEDS_DISPLAY
def test_person_takes_over_from_the_agent_in_a_real_window_and_gives_back(endless_world: Path, tmp_path: Path) -> None:
    policy = make_token_policy(tmp_path / "policy", read_config(endless_world), str(endless_world), always=DOWN)
    code = (
        "import sys\n"
        "from genie_env.cli import main\n"
        "from genie_env.play.session import PlaySession\n"
        "step = PlaySession._step\n"
        "def noted(self, action):\n"
        "    print(action, file=sys.stderr, flush=True)\n"
        "    step(self, action)\n"
        "PlaySession._step = noted\n"
        "raise SystemExit(main(sys.argv[1:]))"
    )
    flags = ["--world", str(endless_world), "--watch", str(policy), "--out", str(tmp_path), "--scale", "4"]
    log = tmp_path / "actions"

    def played(action: int) -> Any:
        """Waits until the last steps are all this action."""
        return lambda: log.exists() and log.read_text().split()[-5:] == [str(action)] * 5

    with virtual_display(tmp_path) as display, log.open("w") as errors:
        desk = Desktop(display, [sys.executable, "-c", code, "play", *flags], errors)
        try:
            wait_for(played(DOWN))
            desk.xdotool("keydown", "Up")
            wait_for(played(UP))
            desk.xdotool("keyup", "Up")
            wait_for(played(NOOP))
            desk.xdotool("key", "g")
            wait_for(played(DOWN))
            desk.xdotool("key", "Escape")
            assert desk.program.wait(60) == 0
        finally:
            desk.close()


@NEEDS_DISPLAY
def test_environment_shows_itself_in_a_real_window(endless_world: Path, tmp_path: Path) -> None:
    code = (
        "import sys, gymnasium as gym, numpy as np, genie_env\n"
        "env = gym.make('Genie/World-v0', world=sys.argv[1], render_mode='human')\n"
        "env.reset(seed=0)\n"
        "np.save(sys.argv[2], env.step(1)[0])\n"
        "while True: env.render()"
    )
    frame = tmp_path / "frame.npy"
    with virtual_display(tmp_path) as display:
        where = {k: v for k, v in os.environ.items() if k != "SDL_VIDEODRIVER"} | {"DISPLAY": display}
        command = [sys.executable, "-W", "error", "-c", code, str(endless_world), str(frame)]
        program = subprocess.Popen(command, env=where, cwd=ROOT)
        try:
            wait_for(frame.exists)
            wait_for(lambda: shows(tmp_path, upscale(np.load(frame), 8)))
        finally:
            program.kill()
            program.wait()
