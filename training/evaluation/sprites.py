"""Sprites of predicted frames against those of real ones: in how many pieces, how much of them is left, how far off.

Owns comparisons of sprites; the detector is :mod:`genie_env.games.sprites`. Knows nothing about worlds or reports.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from genie_env.games.sprites import SPRITE_AREA, Sightings, SpriteColours, chunks, sprite_pixels


def count_pieces(frames: np.ndarray, colours: SpriteColours) -> np.ndarray:
    """Separate pieces of each sprite that are large enough to be one, int [..., S], of frames [..., H, W, 3]."""
    parts = [_pieces(chunk, colours) for chunk in chunks(frames)]
    return np.concatenate(parts).reshape(*frames.shape[:-3], len(colours.sprites))


class PixelCounts(NamedTuple):
    """Pixels of each sprite, per frame [B, S]: those that are left, and all."""

    left_BS: np.ndarray
    all_BS: np.ndarray


def count_pixels_left(real_BHWC: np.ndarray, drawn_BHWC: np.ndarray, colours: SpriteColours) -> PixelCounts:
    """Sprite pixels of real frames that have at least half of their sprite's colour in drawn ones."""
    left, every = [], []
    for real, drawn in zip(chunks(real_BHWC), chunks(drawn_BHWC), strict=True):
        pixels = sprite_pixels(real, colours)
        drawn_MC = colours.minus_background(drawn)[pixels.where].astype(np.float32)
        survives_MS = colours.shares(drawn_MC) >= 0.5 * pixels.share_MS
        belongs_MS = (pixels.sprite_M[:, None] == np.arange(len(colours.sprites))) & (pixels.share_MS > 0)
        for sums, mask_MS in ((left, belongs_MS & survives_MS), (every, belongs_MS)):
            sums.append(np.stack([np.bincount(pixels.where[0], m, len(real)) for m in mask_MS.T], axis=-1))
    return PixelCounts(np.concatenate(left), np.concatenate(every))


def position_errors(real: Sightings, seen: Sightings, missing: float) -> np.ndarray:
    """Distance in pixels [..., S]; ``missing`` where only the real one is there, NaN where that is absent."""
    distance = np.hypot(seen.x - real.x, seen.y - real.y)
    return np.where(real.present, np.where(seen.present, distance, missing), np.nan)


def _pieces(frames_THWC: np.ndarray, colours: SpriteColours) -> np.ndarray:
    """Pieces that touch by edge or corner, int [T, S]."""
    within_a_frame = np.zeros((3, 3, 3), bool)
    within_a_frame[1] = True
    pixels, top, bottom = sprite_pixels(frames_THWC, colours), *colours.rows
    columns = []
    for sprite in range(len(colours.sprites)):
        area_TYX = np.zeros((len(frames_THWC), bottom - top, frames_THWC.shape[2]), np.float32)
        area_TYX[pixels.where] = pixels.weights(sprite)
        labels_TYX: np.ndarray
        labels_TYX, num = ndimage.label(area_TYX > 0, within_a_frame)  # type: ignore[misc]
        inside = np.nonzero(labels_TYX)
        piece_M = labels_TYX[inside] - 1
        mass_P = np.bincount(piece_M, area_TYX[inside], num)
        frame_P = np.zeros(num, dtype=np.int64)
        frame_P[piece_M] = inside[0]
        columns.append(np.bincount(frame_P[mass_P > SPRITE_AREA], minlength=len(frames_THWC)))
    return np.stack(columns, axis=-1)
