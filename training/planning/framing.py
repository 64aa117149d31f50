"""How a game's picture becomes a frame: its size, what of the picture it keeps, and whether it has black bars.

Owns the order in which that is chosen; see :mod:`training.planning.crop` and :mod:`training.planning.scale`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genie_env.config import TokenizerConfig
from training.planning.choices import NONE, Choices
from training.planning.crop import Crop, choose_crop
from training.planning.scale import SMALL_PATCH, choose_scale

SMALLEST, LARGEST = 40, 128
"""Smallest and largest edge of a frame that is made of a whole patch for every pixel of a game that draws cells."""
WIDE = 1.6
"""Proportion of edges from which a picture is padded to a square instead of stretched."""


class Framing(NamedTuple):
    """A frame of a game's picture, and the patches that it is cut into."""

    image_size: int
    patch_size: int
    crop: Crop | None
    pad: bool
    reason: str


def choose_framing(pictures_MHWC: np.ndarray, image_size: int | None = None, choices: Choices = NONE) -> Framing:
    """Choose what the user did not.

    Args:
        pictures_MHWC: uint8, a sample of the game's own pictures.
        image_size: edge of a frame in pixels, the user's; None chooses.
        choices: what else the user decided.
    """
    size = image_size or fitting_size(max(pictures_MHWC.shape[1:3]))
    patch = choices.patch_size or TokenizerConfig().patch_size
    kept = "" if choices.crop is None else f"{_kept(choices.crop)}, as asked"
    if _is_wide(pictures_MHWC, choices.crop):
        bars = "keep the picture's proportions with black bars: it is far from a square"
        return Framing(size, patch, choices.crop, True, "; ".join(filter(None, (kept, bars))))
    if choices.crop is not None:
        return Framing(size, patch, choices.crop, False, kept)
    crop = choose_crop(pictures_MHWC, size, patch)
    if choices.sharp and crop.hardly_repeat and image_size is None and choices.patch_size is None:
        scale = choose_scale(pictures_MHWC)
        if scale is not None:
            return Framing(
                scale.image_size,
                SMALL_PATCH,
                scale.crop,
                scale.pad,
                f"{_kept(scale.crop)}, {scale.factor} to a pixel of {scale.image_size}, in patches of {SMALL_PATCH}: "
                f"sprites then look alike wherever they are ({scale.seen_once:.0%} of the patches occur once)",
            )
    if crop.crop is None:
        return Framing(
            size, patch, None, False, f"keep the whole picture ({crop.num_patches} distinct patches in the sample)"
        )
    fewer = f"{crop.num_patches} distinct patches, not {crop.num_patches_whole}"
    return Framing(size, patch, crop.crop, False, f"{_kept(crop.crop)}: {fewer}")


def _kept(crop: Crop) -> str:
    return "keep rows {} to {} and columns {} to {}".format(*crop)


def fitting_size(edge: int) -> int:
    """Edge of a frame in pixels for pictures of ``edge`` pixels: of small ones each pixel becomes a whole patch."""
    size = edge * TokenizerConfig().patch_size
    return size if SMALLEST <= size <= LARGEST else TokenizerConfig().image_size


def _is_wide(pictures_MHWC: np.ndarray, crop: Crop | None) -> bool:
    height, width = pictures_MHWC.shape[1:3] if crop is None else (crop[1] - crop[0], crop[3] - crop[2])
    return max(height, width) > WIDE * min(height, width)
