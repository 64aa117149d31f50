"""Sprites in pictures of a game, found by their colours and by the rows of the frame they live in.

Owns the way from pixels to objects. Knows nothing about worlds, players or what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

# On recorded Pong and Breakout, whose emulator says where everything is, this pair misses fewer balls than stricter
# ones (0.1 % of Pong's where half a pixel's area misses 0.2 %) and reports none that are not there.
PIXEL_DIFFERENCE = 12
"""Summed colour difference to the background from which a pixel counts; less is rounding."""
SPRITE_AREA = 0.25
"""Covered area in pixels from which a sprite is there; Pong's ball covers two."""
_CHUNK = 1024  # frames looked at together


@dataclass(frozen=True)
class SpriteColours:
    """Colours by which sprites are found in a frame, and the rows of the frame they live in."""

    background: tuple[int, int, int]
    sprites: dict[str, tuple[int, int, int]]
    rows: tuple[int, int]
    """First row and the row after the last in which sprites are looked for."""
    narrower: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rows of sprites that live in some of these only: two sprites of one colour are told apart by them."""

    def shares(self, field_MC: np.ndarray) -> np.ndarray:
        """Share of each sprite's colour that explains a pixel best, [M, S] in [0, 1].

        Args:
            field_MC: float32 pixels minus the background's colour.
        """
        towards_SC = self._towards()
        return (field_MC @ towards_SC.T / np.square(towards_SC).sum(1)).clip(0, 1)

    def belongs(self, field_MC: np.ndarray, shares_MS: np.ndarray, rows_M: np.ndarray) -> np.ndarray:
        """The sprite that explains each pixel best, of those that live in its row of the frame, int [M]."""
        residual_MS = np.square(field_MC[:, None] - shares_MS[..., None] * self._towards()).sum(-1)
        spans = [self.narrower.get(name, self.rows) for name in self.sprites]
        lives_MS = np.stack([(rows_M >= top) & (rows_M < bottom) for top, bottom in spans], axis=-1)
        return np.where(lives_MS, residual_MS, np.inf).argmin(1)

    def minus_background(self, frames_THWC: np.ndarray) -> np.ndarray:
        """The rows of uint8 frames in which sprites live minus the background's colour, int16 [T, Y, W, 3]."""
        top, bottom = self.rows
        return frames_THWC[:, top:bottom].astype(np.int16) - np.asarray(self.background, np.int16)

    def _towards(self) -> np.ndarray:
        return np.array(list(self.sprites.values()), np.float32) - np.array(self.background, np.float32)


@dataclass(frozen=True)
class Sightings:
    """Sprites of frames with any leading axes; every array is [..., S], S sprites in the order of ``names``."""

    names: tuple[str, ...]
    present: np.ndarray
    x: np.ndarray
    """Column of the centre in pixels, NaN where the sprite is absent."""
    y: np.ndarray
    """Row of the centre in pixels, NaN where the sprite is absent."""

    def __getitem__(self, index: object) -> Sightings:
        """The same selection of all arrays' leading axes."""
        return Sightings(self.names, *(array[index] for array in (self.present, self.x, self.y)))  # type: ignore[index]

    def of(self, sprite: str) -> np.ndarray:
        """Whether one sprite is present, bool [...]."""
        return self.present[..., self.names.index(sprite)]

    def coordinates(self) -> dict[str, np.ndarray]:
        """Every coordinate [...], named as ground truth is: ``own_y``."""
        axes = {"x": self.x, "y": self.y}
        return {f"{name}_{axis}": axes[axis][..., index] for index, name in enumerate(self.names) for axis in axes}


class SpritePixels(NamedTuple):
    """The M pixels of T frames that differ from the background."""

    where: tuple[np.ndarray, ...]
    """Frame, row (counted from the first row of ``SpriteColours.rows``) and column of each."""
    share_MS: np.ndarray
    """Share of each sprite's colour in the pixel."""
    sprite_M: np.ndarray
    """Index of the sprite that the pixel belongs to."""

    def weights(self, sprite: int) -> np.ndarray:
        """Area that one sprite covers of each pixel, float [M] in [0, 1]."""
        return np.where(self.sprite_M == sprite, self.share_MS[:, sprite], 0.0)


def find_sprites(frames: np.ndarray, colours: SpriteColours) -> Sightings:
    """Find every sprite in uint8 frames [..., H, W, 3].

    A sprite's pixel is a mixture of its colour and the background's (frames are averaged down from larger pictures).
    Each pixel goes to the sprite that explains it best, with its share of that sprite's colour as weight.
    """
    parts = [_find(chunk, colours) for chunk in chunks(frames)]
    leading = frames.shape[:-3]
    arrays = (np.concatenate(columns).reshape(*leading, len(colours.sprites)) for columns in zip(*parts, strict=True))
    return Sightings(tuple(colours.sprites), *arrays)


def sprite_pixels(frames_THWC: np.ndarray, colours: SpriteColours) -> SpritePixels:
    """The pixels of a few uint8 frames that belong to sprites; :func:`chunks` bounds the memory of many frames."""
    field_TYWC = colours.minus_background(frames_THWC)
    where = np.nonzero(np.abs(field_TYWC).sum(-1) > PIXEL_DIFFERENCE)
    field_MC = field_TYWC[where].astype(np.float32)
    share_MS = colours.shares(field_MC)
    return SpritePixels(where, share_MS, colours.belongs(field_MC, share_MS, where[1] + colours.rows[0]))


def chunks(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Frames [..., H, W, 3] as [T, H, W, 3], as many at once as fit into memory; at least one, perhaps empty."""
    flat = frames.reshape(-1, *frames.shape[-3:])
    yield from (flat[start : start + _CHUNK] for start in range(0, max(len(flat), 1), _CHUNK))


def _find(frames_THWC: np.ndarray, colours: SpriteColours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Presence, column and row of each sprite, each [T, S]."""
    steps, pixels = len(frames_THWC), sprite_pixels(frames_THWC, colours)
    frame_M, row_M, column_M = pixels.where
    found = []
    for sprite in range(len(colours.sprites)):
        area_M = pixels.weights(sprite)
        mass, sum_x, sum_y = (np.bincount(frame_M, area_M * w, steps) for w in (1.0, column_M, row_M))
        present = mass > SPRITE_AREA
        area = np.where(present, mass, np.nan)
        found.append((present, sum_x / area, sum_y / area + colours.rows[0]))
    present, x, y = (np.stack(column, axis=-1) for column in zip(*found, strict=True))
    return present, x, y


def sprite_of(coordinate: str) -> str:
    """The sprite that a coordinate belongs to: ``own`` of ``own_y``."""
    return coordinate.rsplit("_", 1)[0]
