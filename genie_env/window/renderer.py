"""Pictures for people: a frame scaled up crisply, a bar of text beneath it, a window if asked for.

Owns layout, text and the window. Knows nothing of worlds, environments or keys. Imports pygame on first use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genie_env.frames import upscale

if TYPE_CHECKING:
    import pygame

# Read by pygame when it is imported, which happens below and in `play`: its greeting is noise in scripts.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

# Of everything around frames: grey, because one number fills a picture twenty times faster than three.
BACKGROUND = 18
LABEL, VALUE, NOTICE = (136, 138, 146), (240, 240, 240), (255, 205, 96)
FONT_SIZE, LINE, MARGIN, GAP = 17, 21, 10, 8
CELL_WIDTH, MIN_WIDTH, MAX_COLUMNS = 160, 400, 3


class NoDisplayError(OSError):
    """No window can be opened on this machine."""


@dataclass(frozen=True)
class Hud:
    """What the bar says. Fields that are None are left out; the bar is as high as those given need.

    Attributes:
        episode: number of the episode, from 1.
        step: steps since its reset.
        reward: of the last step.
        total: sum of the episode's rewards.
        action: name of the action that was executed.
        temperature: of the dream's sampling.
        action_diversity: probability that a step replaces the player's action.
        entropy: mean entropy of the last frame's tokens, in nats.
        fps: measured frames per second.
        message: one line below the others (a state such as "paused", or what keys do).
        urgent: whether the message stands out.
    """

    episode: int | None = None
    step: int | None = None
    reward: float | None = None
    total: float | None = None
    action: str | None = None
    temperature: float | None = None
    action_diversity: float | None = None
    entropy: float | None = None
    fps: float | None = None
    message: str | None = None
    urgent: bool = False

    def cells(self) -> list[tuple[str, str]]:
        """Label and value of every field given, the message aside."""
        table = [
            ("episode", self.episode, "d"),
            ("action", self.action, ""),
            ("temperature", self.temperature, ".2f"),
            ("step", self.step, "d"),
            ("reward", self.reward, "+g"),
            ("diversity", self.action_diversity, ".2f"),
            ("fps", self.fps, ".1f"),
            ("total", self.total, "+g"),
            ("entropy", self.entropy, ".3f"),
        ]
        return [(label, format(value, spec)) for label, value, spec in table if value is not None]


class Panel(NamedTuple):
    """A frame and the caption above it, if any."""

    frame_HWC: np.ndarray
    caption: str | None = None


def has_display() -> bool:
    """Whether a window can be expected to open on this machine."""
    if os.environ.get("SDL_VIDEODRIVER") in ("dummy", "offscreen"):
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class _Word(NamedTuple):
    x: int
    line: int
    text: str
    colour: tuple[int, int, int]


class Renderer:
    """Draws frames and, with ``window=True``, shows them."""

    def __init__(self, scale: int = 8, title: str = "Genie Env", window: bool = False, hud: bool = True) -> None:
        """Prepare; the window opens with the first picture.

        Args:
            scale: whole number by which returned pictures, and the window at first, are larger than frames.
            title: of the window.
            window: whether to show pictures.
            hud: False leaves the bar out even where a :class:`Hud` is given.

        Raises:
            ValueError: if ``scale`` is no whole number of at least 1.
        """
        upscale(np.zeros((1, 1, 3), np.uint8), scale)
        self.scale, self.title, self.window, self.hud = scale, title, window, hud
        self._window: pygame.Window | None = None
        self._font: pygame.font.Font | None = None

    def draw(self, frame_HWC: np.ndarray, hud: Hud | None = None) -> np.ndarray:
        """Draw one frame: uint8 [H, W, 3] -> a new uint8 picture [H', W', 3].

        The picture never depends on the window's size, so a series of them makes a video.

        Raises:
            ValueError: if the frame is no uint8 picture.
            NoDisplayError: if a window is wanted and none can be opened.
        """
        return self._draw([Panel(frame_HWC)], hud)

    def draw_pair(self, real_HWC: np.ndarray, dream_HWC: np.ndarray, hud: Hud | None = None) -> np.ndarray:
        """Draw two frames of one height side by side, the real game left; otherwise as :meth:`draw`."""
        if real_HWC.shape[:1] != dream_HWC.shape[:1]:
            raise ValueError(f"expected frames of one height, got {real_HWC.shape} and {dream_HWC.shape}")
        return self._draw([Panel(real_HWC, "real game"), Panel(dream_HWC, "dream")], hud)

    def close(self) -> None:
        """Close the window. May be called again; a later draw opens a new window."""
        if self._window is not None:
            self._window.destroy()
            self._window = None

    def _draw(self, panels: Sequence[Panel], hud: Hud | None) -> np.ndarray:
        for panel in panels:
            frame = panel.frame_HWC
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
                raise ValueError(f"expected a uint8 frame [H, W, 3], got {frame.dtype} {list(frame.shape)}")
        hud = hud if self.hud else None
        picture_HWC = self._compose(panels, hud, self.scale)
        if self.window:
            self._show(panels, hud, picture_HWC)
        return picture_HWC

    def _compose(self, panels: Sequence[Panel], hud: Hud | None, scale: int) -> np.ndarray:
        frames = [upscale(panel.frame_HWC, scale) for panel in panels]
        height, width = _extent(panels, hud, scale)
        picture_HWC = np.full((height, width, 3), BACKGROUND, np.uint8)
        top = _caption_height(panels)
        left = (width - sum(frame.shape[1] for frame in frames) - GAP * (len(frames) - 1)) // 2
        for panel, frame in zip(panels, frames, strict=True):
            if panel.caption is not None:
                room = picture_HWC[:top, left : left + frame.shape[1]]
                room[:] = self._text(room.shape[:2], [_Word(2, 0, panel.caption, LABEL)])
            picture_HWC[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
            left += frame.shape[1] + GAP
        if hud is not None:
            bar = picture_HWC[top + frames[0].shape[0] :]
            bar[:] = self._text(bar.shape[:2], _bar_words(hud, width, self._text_width))
        return picture_HWC

    def _text(self, size: tuple[int, int], words: Sequence[_Word]) -> np.ndarray:
        """A picture of ``size`` (height, width) with the words on it."""
        import pygame

        strip = pygame.Surface((size[1], size[0]))
        strip.fill((BACKGROUND,) * 3)
        for word in words:
            y = MARGIN - 2 + word.line * LINE
            strip.blit(self._get_font().render(word.text, True, word.colour), (word.x, y))
        return pygame.surfarray.array3d(strip).swapaxes(0, 1)

    def _text_width(self, word: str) -> int:
        return self._get_font().size(word)[0]

    def _get_font(self) -> pygame.font.Font:
        if self._font is None:
            import pygame

            pygame.font.init()
            # The font that pygame brings: pictures are the same on every machine.
            self._font = pygame.font.Font(None, FONT_SIZE)
        return self._font

    def _show(self, panels: Sequence[Panel], hud: Hud | None, picture_HWC: np.ndarray) -> None:
        """Show the picture at the largest whole scale that fits the window, in the middle of it."""
        import pygame

        window = self._window or self._open((picture_HWC.shape[1], picture_HWC.shape[0]))
        # The window system takes a window for dead that never looks at its events; they stay in the queue.
        pygame.event.pump()
        surface = window.get_surface()
        scale = _fitting_scale(panels, hud, surface.get_size())
        shown_HWC = picture_HWC if scale == self.scale else self._compose(panels, hud, scale)
        size = (shown_HWC.shape[1], shown_HWC.shape[0])
        image = pygame.image.frombuffer(np.ascontiguousarray(shown_HWC).tobytes(), size, "RGB")
        surface.fill((BACKGROUND,) * 3)
        surface.blit(image, image.get_rect(center=surface.get_rect().center))
        window.flip()

    def _open(self, size: tuple[int, int]) -> pygame.Window:
        import pygame

        try:
            pygame.display.init()
            self._window = pygame.Window(self.title, size, resizable=True)
        except pygame.error as error:
            raise NoDisplayError(f"no window can be opened: {error}") from None
        return self._window


def _columns(width: int) -> int:
    return min(MAX_COLUMNS, max(1, (width - 2 * MARGIN) // CELL_WIDTH))


def _caption_height(panels: Sequence[Panel]) -> int:
    return LINE + MARGIN if any(panel.caption is not None for panel in panels) else 0


def _extent(panels: Sequence[Panel], hud: Hud | None, scale: int) -> tuple[int, int]:
    """Height and width of the whole picture."""
    width = scale * sum(panel.frame_HWC.shape[1] for panel in panels) + GAP * (len(panels) - 1)
    height = scale * panels[0].frame_HWC.shape[0] + _caption_height(panels)
    if hud is None:
        return height, width
    # A bar narrower than this would cut words off, so small frames get margins instead.
    width = max(width, MIN_WIDTH)
    lines = -(-len(hud.cells()) // _columns(width)) + (hud.message is not None)
    return height + lines * LINE + 2 * MARGIN - 4, width


def _fitting_scale(panels: Sequence[Panel], hud: Hud | None, room: tuple[int, int]) -> int:
    scale = max(1, room[1] // panels[0].frame_HWC.shape[0])
    while scale > 1:
        height, width = _extent(panels, hud, scale)
        if height <= room[1] and width <= room[0]:
            break
        scale -= 1
    return scale


def _bar_words(hud: Hud, width: int, text_width: Callable[[str], int]) -> list[_Word]:
    """Words of the bar: label and value of every cell in columns, then the message."""
    cells, columns = hud.cells(), _columns(width)
    pitch = (width - 2 * MARGIN) // columns
    words = []
    for index, (label, value) in enumerate(cells):
        x, line = MARGIN + index % columns * pitch, index // columns
        labels = [label for label, _ in cells[index % columns :: columns]]
        indent = MARGIN + max(text_width(label) for label in labels)
        words += [_Word(x, line, label, LABEL), _Word(x + indent, line, value, VALUE)]
    if hud.message is not None:
        line = -(-len(cells) // columns)
        words.append(_Word(MARGIN, line, hud.message, NOTICE if hud.urgent else LABEL))
    return words
