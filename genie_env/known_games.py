"""What a picture of a particular game shows: sprites' colours, and the actions of a player that follows the ball.

A game that is not listed here is simply not known: nothing is measured on its sprites, and no script plays it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SpriteColours:
    """Colours by which a sprite is found in a frame, and the rows of the frame it lives in."""

    background: tuple[int, int, int]
    sprites: dict[str, tuple[int, int, int]]
    rows: tuple[int, int]


@dataclass(frozen=True)
class KnownGame:
    """A game in which a ball is to be followed vertically; sprites ``ball`` and ``own`` are what a player looks at."""

    colours: SpriteColours
    follow: tuple[int, int, int]
    """Real actions (stay, up, down)."""


KNOWN_GAMES: dict[str, KnownGame] = {
    "ALE/Pong-v5": KnownGame(
        SpriteColours(
            background=(144, 72, 17),
            sprites={"ball": (236, 236, 236), "own": (92, 186, 92), "opp": (213, 130, 74)},
            rows=(11, 62),
        ),
        # The console's joystick is turned: RIGHT moves the paddle up, LEFT down.
        follow=(0, 2, 3),
    )
}
