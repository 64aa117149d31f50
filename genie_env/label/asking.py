"""Asking a person which key a clip shows: in a window, or by files and a terminal. Knows nothing of worlds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from genie_env.files.video import write_gif, write_png
from genie_env.frames import side_by_side
from genie_env.label.answers import NOTHING, UNKNOWN, key_problem
from genie_env.window.hud import Hud
from genie_env.window.key_presses import CLOSED, key_presses
from genie_env.window.renderer import Renderer

ASKED_IN_WINDOW = "which key was that?   Return none   Backspace unsure   Esc later"
ASKED = "which key was that? (up, left, space, x …; nothing: none; ?: cannot tell; quit: later)"
NOT_LETTERS = {"return": NOTHING, "backspace": UNKNOWN}
"""Keys of the window that are answers and no keys of a game."""
SLOWEST, PAUSE = 8.0, 4
"""Frames per second at which clips are shown at most, and frames for which the last one stays."""


class Stopped(Exception):
    """The person goes on another time."""


class Asker(Protocol):
    """Shows clips and takes answers."""

    def ask(self, frames_THWC: np.ndarray, number: int, total: int) -> str:
        """The name of a key, ``NOTHING`` or ``UNKNOWN``.

        Raises:
            Stopped: if the person does not want to go on.
        """
        ...

    def close(self) -> None:
        """No more questions."""
        ...


class TerminalAsker:
    """Writes each clip as a GIF and as a strip of pictures, and asks in the terminal."""

    def __init__(self, folder: Path, fps: float, scale: int, read: Callable[[str], str] | None = None) -> None:
        self._folder, self._fps, self._scale, self._read = folder, min(fps, SLOWEST), scale, read or input

    def ask(self, frames_THWC: np.ndarray, number: int, total: int) -> str:
        """As :class:`Asker`; what is no key is asked again, the end of the input stops."""
        path = self._folder / f"clip_{number:03d}.gif"
        write_gif(path, [*frames_THWC, *[frames_THWC[-1]] * PAUSE], self._fps, self._scale)
        write_png(path.with_suffix(".png"), side_by_side(list(frames_THWC)))
        while True:
            try:
                said = self._read(f"clip {number} of {total}, {path}: {ASKED} ").strip().lower()
            except EOFError:
                raise Stopped from None
            if said == "quit":
                raise Stopped
            problem = key_problem(said)
            if problem is None:
                return said
            print(problem, flush=True)

    def close(self) -> None:
        """Nothing is open."""


class WindowAsker:
    """Plays each clip in a window, over and over, until a key goes down."""

    def __init__(self, fps: float, scale: int, renderer: Renderer | None = None) -> None:
        self._fps = min(fps, SLOWEST)
        self._renderer = renderer or Renderer(scale, "Genie Env: which key was that?", window=True)

    def ask(self, frames_THWC: np.ndarray, number: int, total: int) -> str:
        """As :class:`Asker`; Escape or closing the window stops."""
        from genie_env.window.frame_clock import FrameClock

        clock, shown, message, urgent = FrameClock(self._fps), 0, ASKED_IN_WINDOW, False
        while True:
            step = min(shown % (len(frames_THWC) + PAUSE), len(frames_THWC) - 1)
            hud = Hud(step=step, message=f"clip {number} of {total}: {message}", urgent=urgent)
            self._renderer.draw(frames_THWC[step], hud)
            for name in key_presses():
                if name in ("escape", CLOSED):
                    raise Stopped
                said = NOT_LETTERS.get(name, name)
                problem = key_problem(said)
                if problem is None:
                    return said
                message, urgent = problem, True
            clock.wait()
            shown += 1

    def close(self) -> None:
        """Close the window."""
        self._renderer.close()
