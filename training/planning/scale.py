"""Whether a pixel of the frame should be two, three or four of the game's picture each way, and not an odd share.

Averaged down by 3.28 a sprite looks different at nearly every place, and where sprites move freely in both directions
(Boxing, Seaquest, Ms. Pac-Man) no codebook holds all its patches. Averaged down by exactly 2 there are two looks along
each edge, and with patches of 4 pixels most of them repeat. A frame then has four to nine times the tokens, and after
an hour of one core its dream is no better for it (docs/experiments.md): it is tried where a user asks for it.

Owns that search. Knows nothing of games: it sees pictures only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.planning.crop import MOST_SEEN_ONCE, Crop, Extent, extents, seen_once

FACTORS = (2, 3, 4)
SIZES = (64, 80, 96)
"""Edges of frames that are tried; larger ones take an update of the dynamics too long."""
SMALL_PATCH = 4
"""Edge of a patch in pixels: a quarter of the looks that one of twice the edge has."""


class ScaleChoice(NamedTuple):
    """Frames whose pixels are a whole number of the picture's."""

    crop: Crop
    image_size: int
    factor: int
    """Rows, and columns, of the picture in a pixel of the frame."""
    pad: bool
    """Whether the kept part is no square, so that frames have black bars."""
    seen_once: float
    """Share of the distinct patches that occur once in the sample."""


def choose_scale(pictures_MHWC: np.ndarray) -> ScaleChoice | None:
    """The frames whose patches repeat most; None where they hardly repeat in any.

    Args:
        pictures_MHWC: uint8, a sample of the game's own pictures, in several of which something moves.
    """
    found = [choice for factor in FACTORS if (choice := _at(pictures_MHWC, factor)) is not None]
    best = min(found, key=lambda choice: choice.seen_once, default=None)
    return best if best is not None and best.seen_once <= MOST_SEEN_ONCE else None


def _at(pictures_MHWC: np.ndarray, factor: int) -> ScaleChoice | None:
    """The smallest frames that show everything that moves."""
    height, width = pictures_MHWC.shape[1:3]
    rows, columns = extents(pictures_MHWC)
    for size in SIZES:
        shown = size * factor
        # The longer side must be a whole frame: padding goes by it.
        if max(rows[1] - rows[0], columns[1] - columns[0]) <= shown <= max(height, width):
            crop = (*_span(height, rows, shown, factor), *_span(width, columns, shown, factor))
            pad = crop[1] - crop[0] != crop[3] - crop[2]
            return ScaleChoice(crop, size, factor, pad, seen_once(pictures_MHWC, size, SMALL_PATCH, crop, pad))
    return None


def _span(length: int, extent: Extent, shown: int, factor: int) -> tuple[int, int]:
    """Rows or columns that are kept: as many as are shown, or nearly all, in equal bars of whole pixels and patches."""
    kept = min(shown, length // (2 * factor * SMALL_PATCH) * 2 * factor * SMALL_PATCH)
    kept = kept if kept >= extent[1] - extent[0] else min(shown, length // (2 * factor) * 2 * factor)
    start = max(0, min(extent[0], length - kept), extent[1] - kept)
    return start, start + kept
