from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genie_env.renderer import upscale
from tests import fake_game
from tests.fake_game import picture


@contextlib.contextmanager
def virtual_display() -> Iterator[str]:
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x700x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.skipif(not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool")
def test_person_plays_in_a_real_window(tmp_path: Path) -> None:
    with virtual_display() as display:
        # By class, because without a window manager xdotool finds no titles.
        names = {"DISPLAY": display, "SDL_VIDEODRIVER": "x11", "SDL_VIDEO_X11_WMCLASS": "genie-test"}
        environment = os.environ | names

        def xdotool(*words: str) -> str:
            return subprocess.run(
                ["xdotool", *words], env=environment, check=True, text=True, capture_output=True, timeout=30
            ).stdout

        command = [sys.executable, "-m", fake_game.__name__, str(tmp_path)]
        player = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent.parent)
        try:
            window = xdotool("search", "--sync", "--onlyvisible", "--class", "genie-test").split()[0]
            xdotool("windowfocus", "--sync", window)
            xdotool("keydown", "Up", "sleep", "3", "keyup", "Up", "key", "p", "sleep", "0.3", "key", "F12")
            wait_for((tmp_path / "genie-001.png").exists)
            xdotool("windowsize", "--sync", window, "640", "480")
            xdotool("windowfocus", "--sync", window, "key", "Escape")
            assert player.wait(20) == 0
        finally:
            player.kill()
            player.wait()
    with Image.open(tmp_path / "genie-001.png") as image:
        shown = np.asarray(image)
    left = (shown.shape[1] - 256) // 2
    # The dot needs two thirds of a second to reach the top; a busy machine may take longer.
    assert np.array_equal(shown[:256, left : left + 256], upscale(picture(0), 8))
    assert (shown[256:] > 200).any(), "the bar is empty"
