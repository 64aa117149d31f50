"""Sprites found in frames by their colours.

Owns the way from pixels to objects: where a sprite is, in how many pieces, and how much of it another picture keeps.
Knows nothing about worlds, play or reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from genie_env.games.sprites import SpriteColours

STRONG = 12
"""Summed colour difference to the background from which a pixel counts; less is rounding."""
ENOUGH = 0.25
"""Covered area in pixels from which a sprite is there; Pong's ball covers two."""
_CHUNK = 1024


@dataclass(frozen=True)
class Sightings:
    """Sprites of frames with any leading axes; every array is [..., S], S sprites in the order of ``names``."""

    names: tuple[str, ...]
    present: np.ndarray
    x: np.ndarray
    """Column of the centre in pixels, NaN where the sprite is absent."""
    y: np.ndarray
    count: np.ndarray
    """Separate pieces that are large enough to be a sprite."""

    def __getitem__(self, index: object) -> Sightings:
        """The same selection of all arrays' leading axes."""
        return Sightings(self.names, *(a[index] for a in (self.present, self.x, self.y, self.count)))  # type: ignore[index]

    def coordinate(self, name: str) -> np.ndarray:
        """One coordinate [...], named as ground truth is: ``own_y``."""
        sprite, axis = name.rsplit("_", 1)
        return getattr(self, axis)[..., self.names.index(sprite)]


class _Pixels(NamedTuple):
    """The M pixels of some frames that differ from the background."""

    where: tuple[np.ndarray, ...]
    """Frame, row and column of each."""
    alpha_MS: np.ndarray
    sprite_M: np.ndarray


def detect(frames: np.ndarray, colours: SpriteColours) -> Sightings:
    """Find every sprite in uint8 frames [..., H, W, 3].

    A sprite's pixel is a mixture of its colour and the background's (frames are averaged down from larger pictures).
    Each pixel goes to the sprite that explains it best, with its share of that sprite's colour as weight.
    """
    return concatenate([detect_chunk(part, colours) for part in _chunks(frames)], frames.shape[:-3])


def detect_chunk(frames_THWC: np.ndarray, colours: SpriteColours) -> Sightings:
    """:func:`detect` for as many frames as fit into memory at once."""
    steps, pixels = len(frames_THWC), _pixels(frames_THWC, colours)
    at_M, y_M, x_M = pixels.where
    columns = []
    for index in range(len(colours.sprites)):
        alpha_M = np.where(pixels.sprite_M == index, pixels.alpha_MS[:, index], 0.0)
        mass, sum_y, sum_x = (np.bincount(at_M, alpha_M * w, steps) for w in (1.0, y_M, x_M))
        present = mass > ENOUGH
        area = np.where(present, mass, np.nan)
        alpha_TYX = np.zeros((steps, colours.rows[1] - colours.rows[0], frames_THWC.shape[2]), np.float32)
        alpha_TYX[pixels.where] = alpha_M
        columns.append((present, sum_x / area, sum_y / area + colours.rows[0], _pieces(alpha_TYX)))
    return Sightings(tuple(colours.sprites), *(np.stack(column, axis=-1) for column in zip(*columns, strict=True)))


def concatenate(parts: Iterable[Sightings], shape: tuple[int, ...]) -> Sightings:
    """Sightings of consecutive frames as one, with the given leading axes."""
    parts = list(parts)
    arrays = [np.concatenate([getattr(p, a) for p in parts]) for a in ("present", "x", "y", "count")]
    return Sightings(parts[0].names, *(a.reshape(*shape, -1) for a in arrays))


class Kept(NamedTuple):
    """Pixels of each sprite, per frame [B, S]: those that survived, and all."""

    kept_BS: np.ndarray
    all_BS: np.ndarray


def kept_pixels(real_BHWC: np.ndarray, drawn_BHWC: np.ndarray, colours: SpriteColours) -> Kept:
    """Sprite pixels of real frames that have at least half of their sprite's colour in drawn ones."""
    kept, every = [], []
    for real, drawn in zip(_chunks(real_BHWC), _chunks(drawn_BHWC), strict=True):
        pixels = _pixels(real, colours)
        drawn_MS = colours.shares(_field(drawn, colours)[pixels.where])
        survives_MS = drawn_MS >= 0.5 * pixels.alpha_MS
        belongs_MS = (pixels.sprite_M[:, None] == np.arange(len(colours.sprites))) & (pixels.alpha_MS > 0)
        for sums, mask_MS in ((kept, belongs_MS & survives_MS), (every, belongs_MS)):
            sums.append(np.stack([np.bincount(pixels.where[0], m, len(real)) for m in mask_MS.T], axis=-1))
    return Kept(np.concatenate(kept), np.concatenate(every))


def position_errors(real: Sightings, seen: Sightings, missing: float) -> np.ndarray:
    """Distance in pixels [..., S]; ``missing`` where only the real one is there, NaN where that is absent."""
    distance = np.hypot(seen.x - real.x, seen.y - real.y)
    return np.where(real.present, np.where(seen.present, distance, missing), np.nan)


def _chunks(frames: np.ndarray) -> Iterator[np.ndarray]:
    flat = frames.reshape(-1, *frames.shape[-3:])
    yield from (flat[start : start + _CHUNK] for start in range(0, max(len(flat), 1), _CHUNK))


def _field(frames_THWC: np.ndarray, colours: SpriteColours) -> np.ndarray:
    top, bottom = colours.rows
    return frames_THWC[:, top:bottom].astype(np.int16) - np.asarray(colours.background, np.int16)


def _pixels(frames_THWC: np.ndarray, colours: SpriteColours) -> _Pixels:
    field_TYXC = _field(frames_THWC, colours)
    where = np.nonzero(np.abs(field_TYXC).sum(-1) > STRONG)
    field_MC = field_TYXC[where].astype(np.float32)
    alpha_MS = colours.shares(field_MC)
    return _Pixels(where, alpha_MS, colours.belongs(field_MC, alpha_MS, where[1] + colours.rows[0]))


def _pieces(alpha_TYX: np.ndarray) -> np.ndarray:
    """Pieces per frame that touch by edge or corner and are large enough, int [T]."""
    within_a_frame = np.zeros((3, 3, 3), bool)
    within_a_frame[1] = True
    labels_TYX: np.ndarray
    labels_TYX, num = ndimage.label(alpha_TYX > 0, within_a_frame)  # type: ignore[misc]
    inside = np.nonzero(labels_TYX)
    piece_M = labels_TYX[inside] - 1
    mass_P = np.bincount(piece_M, alpha_TYX[inside], num)
    frame_P = np.zeros(num, dtype=np.int64)
    frame_P[piece_M] = inside[0]
    return np.bincount(frame_P[mass_P > ENOUGH], minlength=len(alpha_TYX))
