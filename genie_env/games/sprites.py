"""What a picture of a game shows: sprites, known by their colours and by the rows they live in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class SpriteColours:
    """Colours by which a sprite is found in a frame, and the rows of the frame it lives in."""

    background: tuple[int, int, int]
    sprites: dict[str, tuple[int, int, int]]
    rows: tuple[int, int]
    """Of all sprites; what lies outside is not looked at."""
    narrower: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rows of sprites that live in some of these only: two sprites of one colour are told apart by them."""

    def shares(self, field_MC: np.ndarray) -> np.ndarray:
        """Share of each sprite's colour that explains a pixel best, [M, S] in [0, 1].

        Args:
            field_MC: float32 pixels minus the background's colour.
        """
        towards_SC = self._towards()
        return (field_MC @ towards_SC.T / np.square(towards_SC).sum(1)).clip(0, 1)

    def belongs(self, field_MC: np.ndarray, shares_MS: np.ndarray, rows_M: np.ndarray) -> np.ndarray:
        """The sprite that explains each pixel best, of those that live in its row of the frame, int [M]."""
        residual_MS = np.square(field_MC[:, None] - shares_MS[..., None] * self._towards()).sum(-1)
        spans = [self.narrower.get(name, self.rows) for name in self.sprites]
        lives_MS = np.stack([(rows_M >= top) & (rows_M < bottom) for top, bottom in spans], axis=-1)
        return np.where(lives_MS, residual_MS, np.inf).argmin(1)

    def _towards(self) -> np.ndarray:
        return np.array(list(self.sprites.values()), np.float32) - np.array(self.background, np.float32)
