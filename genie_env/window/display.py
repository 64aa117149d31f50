"""Whether this machine can show a window, and opening one. Knows nothing of what is shown in it.

Imports pygame on first use.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pygame

# Read by pygame when it is imported: its greeting is noise in scripts.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

_DRIVER = "SDL_VIDEODRIVER"
_SHOWS_NOTHING = ("dummy", "offscreen")
_REMEDY = (
    "use 'genie-env rollout' or 'genie-env demo', render_mode='rgb_array', or set SDL_VIDEODRIVER=dummy for a window "
    "that nothing shows"
)


class NoDisplayError(OSError):
    """No window can be opened on this machine."""


def has_display() -> bool:
    """Whether a window can be expected to open on this machine."""
    if os.environ.get(_DRIVER) in _SHOWS_NOTHING:
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@functools.cache
def require_pygame_ce() -> None:
    """Check that ``import pygame`` brings pygame-ce and nothing else.

    Raises:
        ImportError: if it is missing, or the older pygame lies in its place or beside it (both write one folder).
    """
    remedy = "pip uninstall -y pygame pygame-ce, then pip install pygame-ce"
    try:
        import pygame
    except (ImportError, AttributeError) as error:
        raise ImportError(f"pygame-ce cannot be imported ({error}): {remedy}") from error
    if not getattr(pygame, "IS_CE", False) or not hasattr(pygame, "Window"):
        raise ImportError(f"the older pygame is installed where pygame-ce is needed: {remedy}")
    try:
        version = importlib.metadata.version("pygame")
    except importlib.metadata.PackageNotFoundError:
        return
    raise ImportError(f"pygame {version} is installed beside pygame-ce, over the same files: {remedy}")


def open_window(title: str, size: tuple[int, int]) -> pygame.Window:
    """A resizable window of ``size`` (width, height).

    Raises:
        ImportError: without pygame-ce.
        NoDisplayError: if the machine has no display. SDL would otherwise choose a driver that shows nothing; only
            where SDL_VIDEODRIVER asks for such a driver it is used.
    """
    require_pygame_ce()
    import pygame

    asked = os.environ.get(_DRIVER)
    nothing = NoDisplayError(f"no window can be opened: this machine has no display; {_REMEDY}")
    if not asked and not has_display():
        raise nothing
    try:
        pygame.display.init()
        if not asked and pygame.display.get_driver() in _SHOWS_NOTHING:
            pygame.display.quit()
            raise nothing
        return pygame.Window(title, size, resizable=True)
    except pygame.error as error:
        driver = f" by SDL_VIDEODRIVER={asked}" if asked else ""
        raise NoDisplayError(f"no window can be opened{driver}: {error}; {_REMEDY}") from None
