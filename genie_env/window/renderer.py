"""Pictures for people: a frame scaled up crisply, a bar of text beneath it, a window if asked for.

Owns drawing and the window's contents; what the bar says is :mod:`genie_env.window.hud`'s. Knows nothing of worlds,
environments or keys. Imports pygame on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genie_env.effect_names import STILL_SIGN
from genie_env.frames import side_by_side, upscale
from genie_env.window.display import open_window, require_pygame_ce
from genie_env.window.hud import LABEL, LINE, MARGIN, MIN_WIDTH, SIGN, Hud, Sign, Word

if TYPE_CHECKING:
    import pygame

# Of everything around frames: grey, because one number fills a picture twenty times faster than three.
BACKGROUND = 18
FONT_SIZE, GAP = 17, 8


class Panel(NamedTuple):
    """A frame and the caption above it, if any."""

    frame_HWC: np.ndarray
    caption: str | None = None


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
            ImportError: without pygame-ce, where there is a bar or a window.
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
        frames_HWC = side_by_side([upscale(panel.frame_HWC, scale) for panel in panels], GAP, BACKGROUND)
        height, width = _extent(panels, hud, scale)
        picture_HWC = np.full((height, width, 3), BACKGROUND, np.uint8)
        top, left = _caption_height(panels), (width - frames_HWC.shape[1]) // 2
        bottom = top + frames_HWC.shape[0]
        picture_HWC[top:bottom, left : left + frames_HWC.shape[1]] = frames_HWC
        if top:
            words = []
            for panel in panels:
                words.append(Word(left + 2, 0, panel.caption or "", LABEL))
                left += scale * panel.frame_HWC.shape[1] + GAP
            picture_HWC[:top] = self._text((top, width), words)
        if hud is not None:
            words = hud.words(width, self._text_width)
            picture_HWC[bottom:] = self._text((height - bottom, width), words, hud.signs(width))
        return picture_HWC

    def _text(self, size: tuple[int, int], words: Sequence[Word], signs: Sequence[Sign] = ()) -> np.ndarray:
        """A picture of ``size`` (height, width) with the words and signs on it."""
        require_pygame_ce()
        import pygame

        strip = pygame.Surface((size[1], size[0]))
        strip.fill((BACKGROUND,) * 3)
        for word in words:
            y = MARGIN - 2 + word.line * LINE
            strip.blit(self._get_font().render(word.text, True, word.colour), (word.x, y))
        for sign in signs:
            self._draw_sign(strip, sign)
        return pygame.surfarray.array3d(strip).swapaxes(0, 1)

    def _draw_sign(self, strip: pygame.Surface, sign: Sign) -> None:
        """An arrow as long as the effect is strong; a dot, or a character, where nothing moves."""
        import pygame

        middle = pygame.Vector2(sign.x + SIGN / 2, MARGIN - 2 + sign.line * LINE + SIGN / 2 - 1)
        way = pygame.Vector2(sign.effect.right, sign.effect.down) * (SIGN / 2)
        if way.length() > 0:
            tip, tail = middle + way, middle - way
            pygame.draw.line(strip, sign.colour, tail, tip, 2)
            head = way.normalize() * (SIGN / 3)
            barbs = [tip - head.rotate(angle) for angle in (-40, 40)]
            pygame.draw.polygon(strip, sign.colour, [tip + head / 4, *barbs])
        elif sign.effect.sign == STILL_SIGN:
            pygame.draw.circle(strip, sign.colour, middle, SIGN / 5)
        else:
            strip.blit(self._get_font().render(sign.effect.sign, True, sign.colour), (sign.x + SIGN // 3, middle.y - 6))

    def _text_width(self, word: str) -> int:
        return self._get_font().size(word)[0]

    def _get_font(self) -> pygame.font.Font:
        if self._font is None:
            require_pygame_ce()
            import pygame

            pygame.font.init()
            # The font that pygame brings: pictures are the same on every machine.
            self._font = pygame.font.Font(None, FONT_SIZE)
        return self._font

    def _show(self, panels: Sequence[Panel], hud: Hud | None, picture_HWC: np.ndarray) -> None:
        """Show the picture at the largest whole scale that fits the window, in the middle of it."""
        if self._window is None:
            self._window = open_window(self.title, (picture_HWC.shape[1], picture_HWC.shape[0]))
        window = self._window
        import pygame

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
    return height + hud.height(width), width


def _fitting_scale(panels: Sequence[Panel], hud: Hud | None, room: tuple[int, int]) -> int:
    scale = max(1, room[1] // panels[0].frame_HWC.shape[0])
    while scale > 1:
        height, width = _extent(panels, hud, scale)
        if height <= room[1] and width <= room[0]:
            break
        scale -= 1
    return scale
