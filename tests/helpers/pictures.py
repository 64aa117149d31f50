"""Pictures of the tiny game made by hand. Nothing here asserts anything."""

from __future__ import annotations

import numpy as np

from tests.helpers import tiny_game


def empty(*shape: int) -> np.ndarray:
    """Frames uint8 [*shape, 64, 64, 3] of the background alone."""
    return np.broadcast_to(np.array(tiny_game.BACKGROUND_COLOUR, np.uint8), (*shape, 64, 64, 3)).copy()


def blend(alpha: float, colour: tuple[int, int, int]) -> np.ndarray:
    """A pixel that a sprite covers in part."""
    back = np.array(tiny_game.BACKGROUND_COLOUR)
    return np.round(back + alpha * (np.array(colour) - back)).astype(np.uint8)
