"""Pictures at even times out of a film of any rate, and the pictures themselves cut and made small.

Owns the choice of pictures and their conversion; knows nothing of episodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image

from training.sources.film import Moment, turned
from training.sources.reader import Crop

EARLY = 0.2
"""Share of a period by which a picture may come late; times in films are rounded."""
FINER = 2
"""Pictures are first shrunk to about so many times the frame's edge, which is fast, then cut and averaged."""


def at_rate(
    moments: Iterable[Moment | None], fps: float, start_s: float | None = None, count: int | None = None
) -> Iterator[Any | None]:
    """The picture shown at each of the times ``start_s + k / fps``, from the first to the last picture.

    Args:
        moments: pictures in their order; None, where some are missing, is passed on, and times begin again.
        fps: pictures a second.
        start_s: first time; None: that of the first picture.
        count: most pictures; None: all.

    Yields:
        ``VideoFrame`` of PyAV each, or None where some are missing and at the end.
    """
    origin, number, held = start_s or 0.0, 0, None
    begun, early_s = start_s is not None, EARLY / fps
    for moment in chain(moments, [None]):
        while held is not None:
            due_s = origin + number / fps
            # Without a next picture the last one counts for the times up to its own.
            if not (due_s <= held.time_s + early_s if moment is None else due_s + early_s < moment.time_s):
                break
            yield held.frame
            number += 1
            if number == count:
                return
        held = moment
        if moment is None:
            begun, number = False, 0
            yield None
        elif not begun:
            begun, origin = True, moment.time_s


def small_picture(frame: Any, crop: Crop, size: int) -> np.ndarray:
    """A frame of a film, turned, cut and averaged down to uint8 [size, size, 3].

    Args:
        frame: ``VideoFrame`` of PyAV.
        crop: rows top, bottom and columns left, right of the picture as it is shown.
        size: edge of the frame in pixels.
    """
    top, bottom, left, right = crop
    factor = max(1, min(bottom - top, right - left) // (FINER * size))
    width, height = max(1, frame.width // factor), max(1, frame.height // factor)
    scaled = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA")
    picture_HWC = turned(scaled.to_ndarray(), frame.rotation)
    sideways = round(frame.rotation / 90) % 2 == 1
    down, across = picture_HWC.shape[:2]
    full_height, full_width = (frame.width, frame.height) if sideways else (frame.height, frame.width)
    box = (
        left * across / full_width,
        top * down / full_height,
        right * across / full_width,
        bottom * down / full_height,
    )
    return np.asarray(Image.fromarray(picture_HWC).resize((size, size), Image.Resampling.BOX, box=box)).copy()
