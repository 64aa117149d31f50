"""What a picture of a particular game shows: sprites' colours, and the actions of a player that follows the ball.

A game that is not listed here is simply not known: nothing is measured on its sprites, and no script plays it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

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


class Follow(NamedTuple):
    """Real actions of a player that follows the ball; its paddle is at the right or at the bottom of the picture."""

    stay: int
    back: int
    """Moves the paddle up, or to the left."""
    forth: int
    """Moves it down, or to the right."""
    along: Literal["x", "y"] = "y"
    """The coordinate in which the paddle moves."""
    serve: int | None = None
    """Brings a new ball where that takes an action."""


@dataclass(frozen=True)
class KnownGame:
    """A game in which a ball is to be followed; sprites ``ball`` and ``own`` are what a player looks at."""

    colours: SpriteColours
    follow: Follow


KNOWN_GAMES: dict[str, KnownGame] = {
    "ALE/Pong-v5": KnownGame(
        SpriteColours(
            background=(144, 72, 17),
            sprites={"ball": (236, 236, 236), "own": (92, 186, 92), "opp": (213, 130, 74)},
            rows=(11, 62),
        ),
        # The console's joystick is turned: RIGHT moves the paddle up, LEFT down.
        Follow(stay=0, back=2, forth=3),
    ),
    "ALE/Breakout-v5": KnownGame(
        # Ball and paddle have the colour of a row of bricks, above which the ball is not looked for.
        SpriteColours(
            background=(0, 0, 0),
            sprites={"ball": (200, 72, 72), "own": (200, 72, 72)},
            rows=(31, 64),
            narrower={"ball": (31, 62), "own": (62, 64)},
        ),
        Follow(stay=0, back=3, forth=2, along="x", serve=1),
    ),
}
