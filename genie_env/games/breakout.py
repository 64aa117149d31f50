"""Atari Breakout: ground truth, effects, keys, sprites, and the crop that suits the patch grid."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from genie_env.config import SourceConfig
from genie_env.games.players import Follow
from genie_env.games.registry import Game, to_frame_pixels
from genie_env.games.sprites import SpriteColours

# 24 rows and 18 columns of the screen make a patch. Without the walls, which say nothing; with score and lives.
_CROP = (1, 193, 8, 152)


def _truth(env: gym.Env[Any, Any], info: dict[str, Any]) -> dict[str, float]:
    """Centres of ball and paddle in frame pixels from the console's memory, NaN while out of sight.

    RAM[99], RAM[101] are the ball's x and y; RAM[72] is the paddle's x.
    """
    ram = env.unwrapped.ale.getRAM()  # type: ignore[attr-defined]
    ball_x, ball_y = to_frame_pixels(float(ram[99]) - 48.0, float(ram[101]) + 11.0, _CROP)
    own_x, own_y = to_frame_pixels(float(ram[72]) - 39.0, 191.0, _CROP)
    if ram[101] == 0:
        ball_x = ball_y = float("nan")
    return {"ball_x": ball_x, "ball_y": ball_y, "own_x": own_x, "own_y": own_y}


GAME = Game(
    source=SourceConfig(
        env_id="ALE/Breakout-v5",
        crop=_CROP,
        fps=15.0,
        action_meanings=("NOOP", "FIRE", "RIGHT", "LEFT"),
        effects=(0, 1, 2, 3),
        keys={"space": 1, "up": 1, "w": 1, "right": 2, "d": 2, "left": 3, "a": 3},
    ),
    truth_names=("ball_x", "ball_y", "own_x", "own_y"),
    truth=_truth,
    # Ball and paddle have the colour of a row of bricks, above which the ball is not looked for.
    colours=SpriteColours(
        background=(0, 0, 0),
        sprites={"ball": (200, 72, 72), "own": (200, 72, 72)},
        rows=(31, 64),
        narrower={"ball": (31, 62), "own": (62, 64)},
    ),
    follow=Follow(stay=0, back=3, forth=2, along="x", serve=1),
    action_directions=((2, "own_x", +1), (3, "own_x", -1)),
)
