"""The only place where pictures change form: crop and resize, uint8 <-> float, grey, enlarged, side by side.

Frames are uint8, channels last, everywhere but inside the models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

LIGHT_GREY = 200
"""Of the gaps between pictures."""


def crop_resize(
    picture_HWC: np.ndarray, crop: tuple[int, int, int, int] | None, size: int, pad: bool = False
) -> np.ndarray:
    """Cut ``crop`` (top, bottom, left, right) out of a picture and average it down to ``size``² pixels.

    Area averaging keeps one-pixel sprites visible; nearest neighbour loses Pong's ball in a fifth of frames.

    Args:
        picture_HWC: uint8 [H, W, 3] or grey [H, W].
        crop: rows and columns kept; None keeps all.
        size: edge of the frame.
        pad: keep the picture's proportions, with black bars on two sides, instead of stretching it.

    Returns:
        uint8 [size, size, 3].

    Raises:
        ValueError: if the picture is no uint8 picture, or the crop is empty or lies outside it.
    """
    if picture_HWC.dtype != np.uint8 or picture_HWC.ndim not in (2, 3) or 0 in picture_HWC.shape:
        raise ValueError(f"expected a uint8 picture [H, W, 3] or [H, W], got {picture_HWC.dtype} {picture_HWC.shape}")
    if picture_HWC.ndim == 2 or picture_HWC.shape[2] == 1:
        picture_HWC = np.repeat(picture_HWC.reshape(*picture_HWC.shape[:2], 1), 3, axis=2)
    height, width, channels = picture_HWC.shape
    if channels != 3:
        raise ValueError(f"expected 3 colour channels, got {channels}")
    if crop is not None:
        top, bottom, left, right = crop
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise ValueError(f"crop {tuple(crop)} does not fit a picture of {height}x{width} pixels")
        picture_HWC = picture_HWC[top:bottom, left:right]
    if picture_HWC.shape[:2] == (size, size):
        return np.ascontiguousarray(picture_HWC)
    image = Image.fromarray(np.ascontiguousarray(picture_HWC))
    if not pad:
        return np.asarray(image.resize((size, size), Image.Resampling.BOX)).copy()
    rows, columns = inner_box(picture_HWC.shape[0], picture_HWC.shape[1], size)
    frame_HWC = np.zeros((size, size, 3), np.uint8)
    inner = (columns.stop - columns.start, rows.stop - rows.start)
    frame_HWC[rows, columns] = np.asarray(image.resize(inner, Image.Resampling.BOX))
    return frame_HWC


def inner_box(height: int, width: int, size: int) -> tuple[slice, slice]:
    """Rows and columns of a padded frame of ``size``² pixels that a picture of ``height`` x ``width`` fills."""
    longest = max(height, width)
    edges = [max(1, round(size * edge / longest)) for edge in (height, width)]
    rows, columns = (slice((size - edge) // 2, (size - edge) // 2 + edge) for edge in edges)
    return rows, columns


def check_frames(frames: np.ndarray | torch.Tensor, size: int, axes: str = "BTHWC") -> torch.Tensor:
    """Return ``frames`` as a uint8 tensor with the given axes, or say what is wrong with them.

    Raises:
        ValueError: if dtype, number of axes, size or channels differ from uint8 [..., size, size, 3].
    """
    import torch

    shape, dtype = tuple(frames.shape), str(frames.dtype).removeprefix("torch.")
    if dtype != "uint8" or len(shape) != len(axes) or shape[-3:] != (size, size, 3) or 0 in shape:
        raise ValueError(f"expected uint8 frames {list(axes)} of {size}x{size}x3, got {dtype} {list(shape)}")
    return frames if isinstance(frames, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(frames))


def to_float(frames_BHWC: torch.Tensor) -> torch.Tensor:
    """uint8 [..., H, W, C] -> float32 [..., C, H, W] in [-1, 1]."""
    return frames_BHWC.movedim(-1, -3).float() / 127.5 - 1.0


def to_uint8(frames_BCHW: torch.Tensor) -> torch.Tensor:
    """float [..., C, H, W] in [-1, 1] -> uint8 [..., H, W, C], clipped and rounded."""
    pixels = ((frames_BCHW.float() + 1.0) * 127.5).round().clamp(0, 255).byte()
    return pixels.movedim(-3, -1).contiguous()


def to_gray(frames_HWC: np.ndarray) -> np.ndarray:
    """uint8 [..., H, W, 3] -> uint8 [..., H, W, 1] by the ITU-R BT.601 luma weights."""
    luma = frames_HWC @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return luma.round().astype(np.uint8)[..., None]


def upscale(frames_HWC: np.ndarray, scale: int) -> np.ndarray:
    """Repeat every pixel ``scale`` times in both directions: [..., H, W, C] -> [..., H·scale, W·scale, C].

    Raises:
        ValueError: if ``scale`` is no whole number of at least 1.
    """
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale: expected a whole number >= 1, got {scale!r}")
    # Width first: the second pass then copies whole rows.
    return frames_HWC.repeat(scale, axis=-2).repeat(scale, axis=-3)


def side_by_side(frames: Sequence[np.ndarray], gap: int = 2, grey: int = LIGHT_GREY) -> np.ndarray:
    """Pictures of one height from left to right: uint8 [H, W, 3] each -> [H, sum of widths and gaps, 3].

    Args:
        frames: at least one picture.
        gap: columns between two pictures.
        grey: brightness of the gaps, 0 to 255.

    Raises:
        ValueError: if there are no pictures, or their heights or types differ.
    """
    return _joined(frames, 1, gap, grey)


def grid(rows: Iterable[Sequence[np.ndarray]], gap: int = 2, grey: int = LIGHT_GREY) -> np.ndarray:
    """Rows of pictures, one row above another; arguments and errors are those of :func:`side_by_side`."""
    return _joined([side_by_side(row, gap, grey) for row in rows], 0, gap, grey)


def _joined(pictures: Sequence[np.ndarray], axis: int, gap: int, grey: int) -> np.ndarray:
    kinds = {(p.dtype.name, p.ndim, p.shape[1 - axis], p.shape[2:]) for p in pictures}
    if len(kinds) != 1 or next(iter(kinds))[:2] != ("uint8", 3):
        shapes = [f"{p.dtype.name} {list(p.shape)}" for p in pictures]
        raise ValueError(f"expected uint8 pictures [H, W, C] of one {'height' if axis else 'width'}, got {shapes}")
    widths = [(0, 0), (0, 0), (0, 0)]
    widths[axis] = (0, gap)
    padded = [np.pad(picture, widths, constant_values=grey) for picture in pictures[:-1]]
    return np.concatenate([*padded, pictures[-1]], axis=axis)
