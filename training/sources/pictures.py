"""Pictures in arrays, whatever their layout and numbers: uint8 frames of the recording's size come out.

Owns layouts and ranges of values. Knows nothing of files.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from genie_env.frames import crop_resize
from training.sources.reader import MOST_PIXELS, Crop

CHANNELS = (1, 3, 4)
LEAST_EDGE = 8
"""Pixels of the smallest edge that a picture may have."""


@dataclass(frozen=True)
class Layout:
    """How pictures lie in an array of one picture a row."""

    height: int
    width: int
    channels: int
    """1 is grey, 3 is colour; 4 is colour and opacity, or four grey pictures if channels come first."""
    channels_first: bool
    low: float = 0.0
    """Value that is black."""
    high: float = 255.0
    """Value that is white."""

    def small(self, rows: np.ndarray, crop: Crop | None, size: int) -> np.ndarray:
        """Pictures as uint8 [M, size, size, 3].

        Args:
            rows: [M, H, W], [M, H, W, C] or [M, C, H, W].
            crop: rows top, bottom and columns left, right to keep.
            size: edge of the frames in pixels.

        Raises:
            ValueError: if a number lies outside the range of the first pictures, or is none.
        """
        frames = self._bytes(rows)
        if frames.ndim == 3:
            frames = frames[..., None]
        elif self.channels_first:
            # Of stacked grey pictures the last is the present one.
            frames = frames[:, -1:] if self.channels == 4 else frames
            frames = np.moveaxis(frames, 1, -1)
        frames = frames[..., :3] if frames.shape[-1] == 4 else frames
        return np.stack([crop_resize(np.ascontiguousarray(frame), crop, size) for frame in frames])

    def _bytes(self, rows: np.ndarray) -> np.ndarray:
        if rows.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return rows
        values = rows.astype(np.float32)
        slack = 0.02 * (self.high - self.low)
        if not (np.isfinite(values).all() and values.min() >= self.low - slack and values.max() <= self.high + slack):
            raise ValueError(
                f"pictures: expected numbers from {self.low:g} to {self.high:g}, as in the first ones, got "
                f"{float(np.nanmin(values)):g} to {float(np.nanmax(values)):g}"
            )
        return ((values - self.low) * (255.0 / (self.high - self.low))).round().clip(0, 255).astype(np.uint8)


def is_picture_shape(shape: tuple[int, ...]) -> bool:
    """Whether an array of one picture a row may have such rows: [H, W], [H, W, C] or [C, H, W]."""
    if len(shape) == 2:
        return min(shape) >= LEAST_EDGE
    if len(shape) != 3:
        return False
    last, first = shape[2] in CHANNELS, shape[0] in CHANNELS
    edges = shape[:2] if last else shape[1:]
    return (last or first) and min(edges) >= LEAST_EDGE and edges[0] * edges[1] <= MOST_PIXELS


def layout_of(shape: tuple[int, ...], sample: np.ndarray) -> Layout:
    """The layout of pictures of this shape, their range of values told by some of them.

    Args:
        shape: of one picture, for which :func:`is_picture_shape` holds.
        sample: the first pictures.

    Raises:
        ValueError: if the numbers are no brightness: outside [0, 255], or none.
    """
    if len(shape) == 2:
        height, width, channels, first = *shape, 1, False
    elif shape[2] in CHANNELS:
        (height, width, channels), first = shape, False
    else:
        (channels, height, width), first = shape, True
    low, high = _range(sample)
    return Layout(height, width, channels, first, low, high)


def _range(sample: np.ndarray) -> tuple[float, float]:
    if sample.dtype == np.uint8:
        # Pictures of zeros and ones alone are masks, whose ones are white.
        return (0.0, 1.0) if sample.size and 0 < sample.max() <= 1 else (0.0, 255.0)
    values = sample.astype(np.float32)
    if not np.isfinite(values).all() or not values.size:
        raise ValueError("pictures: expected finite numbers, got NaN or infinite ones")
    low, high = float(values.min()), float(values.max())
    for least, most in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        slack = 0.02 * (most - least)
        if low >= least - slack and high <= most + slack:
            return least, most
    raise ValueError(f"pictures: expected numbers in [0, 1], [-1, 1] or [0, 255], got {low:g} to {high:g}")


def decoded_picture(data: bytes) -> np.ndarray:
    """A JPEG or PNG as uint8 [H, W, 3].

    Raises:
        ValueError: if it is neither, damaged, or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"pictures: expected at most {MOST_PIXELS} pixels, got {image.width}x{image.height}")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"pictures: expected a JPEG or PNG ({error})") from None
