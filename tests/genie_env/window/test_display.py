"""Where nothing can be shown, a window is refused with a remedy instead of opened unseen."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pygame
import pytest

from genie_env.window.display import NoDisplayError, has_display, open_window, require_pygame_ce

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system always has a display")


def without_display(**changes: str) -> dict[str, str]:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    return {name: value for name, value in os.environ.items() if name not in hidden} | changes


def run(*command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *command], env=without_display(**changes), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


@linux
def test_play_without_a_display_is_one_line_that_says_what_to_do(random_world: Path) -> None:
    done = run("-c", "from genie_env.cli import main; raise SystemExit(main())", "play", "--world", str(random_world))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    for words in ("no display", "genie-env rollout", "genie-env demo", "SDL_VIDEODRIVER=dummy"):
        assert words in done.stderr


@linux
def test_human_rendering_without_a_display_raises(random_world: Path) -> None:
    code = (
        "import sys, gymnasium as gym, genie_env\n"
        "env = gym.make('Genie/World-v0', world=sys.argv[1], render_mode='human')\n"
        "try: env.reset(seed=0)\n"
        "except OSError as error: print(type(error).__name__, error)"
    )
    done = run("-c", code, str(random_world))
    assert done.stdout.startswith("NoDisplayError no window can be opened: this machine has no display"), done.stderr


@linux
def test_display_that_does_not_answer_is_no_reason_to_open_a_window_unseen() -> None:
    code = "from genie_env.window.display import open_window\nopen_window('t', (9, 9))"
    assert "no window can be opened: this machine has no display" in run("-c", code, DISPLAY=":987").stderr


@linux
@pytest.mark.parametrize("driver", ["dummy", "offscreen"])
def test_driver_that_is_asked_for_is_used(driver: str) -> None:
    code = (
        "from genie_env.window.display import open_window\n"
        "open_window('t', (9, 9)); import pygame; print(pygame.display.get_driver())"
    )
    assert run("-c", code, SDL_VIDEODRIVER=driver).stdout.strip() == driver


@linux
def test_driver_that_does_not_work_is_named() -> None:
    code = "from genie_env.window.display import open_window\nopen_window('t', (9, 9))"
    error = run("-c", code, SDL_VIDEODRIVER="x11").stderr.splitlines()[-1]
    assert "NoDisplayError: no window can be opened by SDL_VIDEODRIVER=x11" in error and "rollout" in error


@linux
def test_display_is_expected_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert issubclass(NoDisplayError, OSError)
    monkeypatch.setenv("DISPLAY", ":0")
    assert not has_display()  # The tests' dummy driver opens no window that anybody sees.
    monkeypatch.delenv("SDL_VIDEODRIVER")
    assert has_display()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_display()


@pytest.fixture
def fresh_check() -> Any:
    require_pygame_ce.cache_clear()
    yield
    require_pygame_ce.cache_clear()


@pytest.mark.parametrize("lacks", ["IS_CE", "Window"])
def test_older_pygame_in_place_of_pygame_ce_is_named(
    lacks: str, fresh_check: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(pygame, lacks)
    with pytest.raises(ImportError, match=r"older pygame.*pip uninstall -y pygame pygame-ce, then pip install"):
        open_window("title", (8, 8))


def test_older_pygame_beside_pygame_ce_is_named(fresh_check: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"pygame": "2.6.1"}[name])
    with pytest.raises(ImportError, match=r"pygame 2\.6\.1 is installed beside pygame-ce.*pip uninstall"):
        open_window("title", (8, 8))


def test_missing_pygame_is_named(fresh_check: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ImportError, match="pip install pygame-ce"):
        require_pygame_ce()
