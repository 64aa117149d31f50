"""The crop keeps what moves, lines it up with the patch grid, and is left alone where it saves nothing."""

from __future__ import annotations

import numpy as np

from training.planning.crop import choose_crop, count_patches, patch_bytes


def falling(rows: int, count: int = 60) -> np.ndarray:
    """Pictures of ``rows`` rows and 64 columns in which a block falls by whole patches of 25 rows, on one column."""
    pictures = np.zeros((count, rows, 64, 3), np.uint8)
    for index, picture in enumerate(pictures):
        top = 25 * (index % (rows // 25))
        picture[top : top + 10, 8:16] = 200
    return pictures


def test_rows_that_a_patch_holds_exactly_need_the_fewest_patches() -> None:
    pictures = falling(210)
    choice = choose_crop(pictures, 64, 8)
    assert choice.crop is not None
    top, bottom, left, right = choice.crop
    assert (bottom - top) % 8 == 0 and (left, right) == (0, 64)
    assert choice.num_patches < choice.num_patches_whole
    assert choice.num_patches == count_patches(pictures, choice.crop, 64, 8)


def test_what_moves_is_never_cut_off() -> None:
    pictures = falling(210)
    pictures[7, 0] = pictures[9, -1] = 255
    choice = choose_crop(pictures, 64, 8)
    top, bottom, _, _ = choice.crop or (0, 210, 0, 64)
    assert top == 0 and bottom == 210


def test_a_still_picture_and_one_that_fits_are_left_whole() -> None:
    assert choose_crop(np.zeros((5, 70, 90, 3), np.uint8), 64, 8).crop is None
    assert choose_crop(falling(200), 64, 8).crop is None


def test_patches_are_equal_only_where_every_pixel_is() -> None:
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    assert len(np.unique(patch_bytes(frames, 8))) == 1
    frames[1, 3, 12, 2] = 1
    assert len(np.unique(patch_bytes(frames, 8))) == 2
    frames[0, 3, 4, 2] = 1
    assert len(np.unique(patch_bytes(frames, 8))) == 2, "the same patch elsewhere is the same patch"
