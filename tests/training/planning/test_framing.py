"""Frames show a whole number of the picture's pixels where patches hardly repeat otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genie_env.frames import crop_resize
from training.planning.choices import Choices
from training.planning.crop import MOST_SEEN_ONCE, seen_once
from training.planning.framing import choose_framing
from training.planning.scale import SMALL_PATCH, choose_scale

SHARP = Choices(sharp=True)
SPRITE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def pictures(height: int = 210, width: int = 160, moves: int = 1, count: int = 250) -> np.ndarray:
    """Sprites of one look, each somewhere on a black screen."""
    rng = np.random.default_rng(1)
    shown = np.zeros((count, height, width, 3), np.uint8)
    for picture in shown:
        for _ in range(4):
            top, left = rng.integers(16, height - 48) // moves * moves, rng.integers(8, width - 24) // moves * moves
            picture[top : top + 16, left : left + 16] = SPRITE
    return shown


def test_a_sprite_that_goes_anywhere_looks_alike_where_pixels_are_whole_numbers_of_its_own() -> None:
    shown = pictures()
    assert seen_once(shown, 64, 8) > MOST_SEEN_ONCE
    framing, scale = choose_framing(shown, choices=SHARP), choose_scale(shown)
    assert scale is not None and framing[:4] == (scale.image_size, SMALL_PATCH, scale.crop, scale.pad)
    assert f"{scale.factor} to a pixel of {scale.image_size}" in framing.reason
    assert scale.seen_once == seen_once(shown, scale.image_size, SMALL_PATCH, scale.crop, scale.pad) <= MOST_SEEN_ONCE
    frame, factor = crop_resize(shown[0], scale.crop, scale.image_size, scale.pad), scale.factor
    top, bottom, left, right = scale.crop
    kept = shown[0, top:bottom, left:right]
    cells = kept.reshape((bottom - top) // factor, factor, (right - left) // factor, factor, 3)
    bar = (scale.image_size - cells.shape[2]) // 2
    assert cells.shape[0] == scale.image_size and bar % SMALL_PATCH == 0 and scale.pad == (bar > 0)
    inner = frame[:, bar : scale.image_size - bar]
    assert np.abs(inner - cells.mean((1, 3))).max() <= 1, "each pixel is the mean of whole ones"
    assert inner.sum() == frame.sum(), "black bars"


def test_everything_that_moves_is_shown() -> None:
    shown = pictures()
    shown[::2, 3, 0] = 255
    shown[::2, 205, 0] = 255
    assert choose_scale(shown) is None, "no frame of the sizes tried shows it all"
    framing = choose_framing(shown, choices=SHARP)
    assert (framing.image_size, framing.patch_size, framing.crop) == (64, 8, None)


@pytest.mark.parametrize(
    ("image_size", "choices"), [(80, SHARP), (None, replace(SHARP, patch_size=8)), (None, Choices())]
)
def test_what_the_user_decides_stays(image_size: int | None, choices: Choices) -> None:
    framing = choose_framing(pictures(count=60), image_size, choices)
    assert (framing.image_size, framing.patch_size) == (image_size or 64, 8) and not framing.pad


def test_sprites_that_repeat_keep_small_frames() -> None:
    framing = choose_framing(pictures(moves=20), choices=SHARP)
    assert (framing.image_size, framing.patch_size) == (64, 8)


def test_noise_repeats_at_no_size_and_stillness_needs_none() -> None:
    rng = np.random.default_rng(0)
    assert choose_scale(rng.integers(0, 256, (40, 210, 160, 3), dtype=np.uint8)) is None
    framing = choose_framing(np.zeros((5, 210, 160, 3), np.uint8), choices=SHARP)
    assert (framing.image_size, framing.crop, framing.pad) == (64, None, False)


def test_wide_pictures_and_asked_crops_are_said_so() -> None:
    wide = choose_framing(pictures(height=90, width=200, count=20))
    assert wide.pad and wide.crop is None and "black bars" in wide.reason
    asked = choose_framing(pictures(count=20), choices=Choices(crop=(10, 200, 0, 160)))
    assert asked.crop == (10, 200, 0, 160) and not asked.pad and asked.reason.endswith("as asked")
