"""Which rows and columns of a game's picture to keep, chosen by how few patches then draw every frame.

A patch of the frame is a whole number of screen rows and columns if the kept height and width are multiples of the
number of patches along the frame. Sprites then repeat with the patch grid and the vocabulary stays small: Pong needs
450 patches with 200 rows and 1,322 with all 210.

Owns the search over crops. Knows nothing of games: it sees pictures only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genie_env.frames import crop_resize

MOST_CUT = 0.12
"""Largest share of the height, and of the width, that a crop may remove beyond a constant border."""
MOST_CANDIDATES = 120
MOST_SEEN_ONCE = 0.6
"""Share of the distinct patches that occur once in the sample, above which patches hardly repeat: Freeway 0.30, Pong
0.39, Breakout 0.46; CartPole 0.78, Boxing 0.82."""

Crop = tuple[int, int, int, int]
Extent = tuple[int, int]
"""First and one past the last row or column."""


class CropChoice(NamedTuple):
    """A crop, and what it saves."""

    crop: Crop | None
    """Rows top, bottom and columns left, right that are kept; None keeps the whole picture."""
    num_patches: int
    """Distinct patches in the sample with this crop."""
    num_patches_whole: int
    """Distinct patches in the sample with the whole picture."""
    hardly_repeat: bool = False
    """Nearly every picture brings patches of its own."""


def choose_crop(pictures_MHWC: np.ndarray, image_size: int, patch_size: int) -> CropChoice:
    """Search the crops that keep everything that moves.

    Args:
        pictures_MHWC: uint8, a sample of the game's own pictures; a few hundred, from several episodes.
        image_size: edge of a frame in pixels.
        patch_size: edge of a patch of the frame in pixels.

    Returns:
        The crop with the fewest distinct patches; None unless it saves a tenth of them, or where patches hardly repeat.
    """
    height, width = pictures_MHWC.shape[1:3]
    once = seen_once(pictures_MHWC, image_size, patch_size)
    # A picture seen again has no new patches: a game on a board has a few, each seen a hundred times.
    pictures_MHWC = np.stack(list({picture.tobytes(): picture for picture in pictures_MHWC}.values()))
    whole = count_patches(pictures_MHWC, None, image_size, patch_size)
    # Where every picture brings new patches there are no sprites that a grid could meet, and cutting only loses.
    if once > MOST_SEEN_ONCE:
        return CropChoice(None, whole, whole, hardly_repeat=True)
    moving_rows, moving_columns = extents(pictures_MHWC)
    if moving_rows[0] == moving_rows[1]:
        return CropChoice(None, whole, whole)
    grid = image_size // patch_size
    rows, columns = _spans(height, grid, moving_rows), _spans(width, grid, moving_columns)
    candidates: list[Crop] = [(*row, *column) for row in rows for column in columns]
    # Larger crops first: of equally good ones that which shows more is kept.
    candidates.sort(key=lambda c: (c[0] - c[1]) * (c[3] - c[2]))
    counted = [(count_patches(pictures_MHWC, crop, image_size, patch_size), crop) for crop in _thin(candidates)]
    if not counted:
        return CropChoice(None, whole, whole)
    best, crop = min(counted, key=lambda found: found[0])
    return CropChoice(crop, best, whole) if best <= 0.9 * whole else CropChoice(None, whole, whole)


def count_patches(pictures_MHWC: np.ndarray, crop: Crop | None, image_size: int, patch_size: int) -> int:
    """Number of distinct patches of the frames cut from ``pictures_MHWC``."""
    frames_MHWC = np.stack([crop_resize(picture, crop, image_size) for picture in pictures_MHWC])
    return len(np.unique(patch_bytes(frames_MHWC, patch_size)))


def seen_once(
    pictures_MHWC: np.ndarray, image_size: int, patch_size: int, crop: Crop | None = None, pad: bool = False
) -> float:
    """Share of the distinct patches of frames that occur once among all of them."""
    frames_MHWC = np.stack([crop_resize(picture, crop, image_size, pad) for picture in pictures_MHWC])
    _, counts = np.unique(patch_bytes(frames_MHWC, patch_size), return_counts=True)
    return float((counts == 1).mean())


def patch_bytes(frames_MHWC: np.ndarray, patch_size: int) -> np.ndarray:
    """Every patch of uint8 frames as one opaque value each, [M * patches]."""
    count, height, width, channels = frames_MHWC.shape
    grid = frames_MHWC.reshape(count, height // patch_size, patch_size, width // patch_size, patch_size, channels)
    rows = np.ascontiguousarray(grid.swapaxes(2, 3)).reshape(-1, patch_size * patch_size * channels)
    return rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]


def extents(pictures_MHWC: np.ndarray) -> tuple[Extent, Extent]:
    """Rows and columns in which anything ever differs; empty ones where nothing does."""
    moving_HW = (pictures_MHWC != pictures_MHWC[0]).any((0, 3))
    return _extent(moving_HW.any(1)), _extent(moving_HW.any(0))


def _extent(moving: np.ndarray) -> Extent:
    where = np.flatnonzero(moving)
    return (int(where[0]), int(where[-1]) + 1) if len(where) else (0, 0)


def _spans(length: int, grid: int, extent: Extent) -> list[tuple[int, int]]:
    """Spans of the edge that hold ``extent`` and whose length is a multiple of ``grid``."""
    spans = [(0, length)]
    shortest = max(extent[1] - extent[0], int(length * (1 - MOST_CUT)))
    for size in range(length // grid * grid, shortest - 1, -grid):
        first, last = max(0, extent[1] - size), min(extent[0], length - size)
        spans += [(start, start + size) for start in range(first, last + 1)]
    return list(dict.fromkeys(spans))


def _thin(candidates: list[Crop]) -> list[Crop]:
    """At most :data:`MOST_CANDIDATES`, evenly chosen; the first one stays."""
    picks = np.linspace(0, len(candidates) - 1, min(len(candidates), MOST_CANDIDATES)).round().astype(int)
    return [candidates[index] for index in dict.fromkeys(picks.tolist())]
