"""How pictures change form, and how they are put together."""

from __future__ import annotations

import numpy as np
import pytest

from genie_env.frames import LIGHT_GREY, crop_resize, grid, inner_box, side_by_side, upscale


def picture(value: int, height: int = 3, width: int = 4) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_side_by_side_keep_their_pixels_and_have_gaps_between_them_only() -> None:
    joined = side_by_side([picture(1), picture(2, width=5), picture(3)], gap=2)
    assert joined.shape == (3, 4 + 2 + 5 + 2 + 4, 3) and joined.dtype == np.uint8
    assert joined[0, :, 0].tolist() == [1] * 4 + [LIGHT_GREY] * 2 + [2] * 5 + [LIGHT_GREY] * 2 + [3] * 4
    assert np.array_equal(side_by_side([picture(7)]), picture(7))


def test_grid_is_rows_of_pictures_side_by_side() -> None:
    rows = [[picture(1), picture(2)], [picture(3), picture(4)]]
    joined = grid(iter(rows), gap=1, grey=9)
    assert joined.shape == (7, 9, 3)
    assert np.array_equal(joined[:3], side_by_side(rows[0], 1, 9)) and bool((joined[3] == 9).all())
    assert np.array_equal(joined[4:], side_by_side(rows[1], 1, 9))


@pytest.mark.parametrize(
    "pictures", [[], [picture(1), picture(1, height=2)], [picture(1), picture(1).astype(float)], [picture(1)[..., 0]]]
)
def test_pictures_that_do_not_fit_each_other_are_refused(pictures: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="expected uint8 pictures"):
        side_by_side(pictures)
    with pytest.raises(ValueError, match="of one width"):
        grid([[picture(1)], [picture(1), picture(1)]])


@pytest.mark.parametrize("scale", [0, -1, 1.5])
def test_scale_that_is_no_whole_number_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale: expected a whole number"):
        upscale(picture(1), scale)


def test_a_padded_frame_keeps_proportions() -> None:
    wide = np.full((50, 200, 3), 200, np.uint8)
    frame = crop_resize(wide, None, 64, pad=True)
    rows, columns = inner_box(50, 200, 64)
    assert frame.shape == (64, 64, 3) and (rows, columns) == (slice(24, 40), slice(0, 64))
    assert (frame[rows, columns] == 200).all() and frame.sum() == 200 * 3 * 16 * 64
    tall = crop_resize(wide.swapaxes(0, 1), None, 64, pad=True)
    assert np.array_equal(tall, frame.swapaxes(0, 1))
