"""Atari Pong: ground truth, effects, keys, sprites, and the crop that suits the patch grid."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from genie_env.config import SourceConfig
from genie_env.games.players import Follow
from genie_env.games.registry import Game, to_frame_pixels
from genie_env.games.sprites import SpriteColours

# 25 rows and 20 columns of the screen make exactly one 8-pixel patch each: sprites then repeat with the patch
# grid, and a few hundred patches draw every picture. The ten rows cut off are plain border.
_CROP = (0, 200, 0, 160)


def _truth(env: gym.Env[Any, Any], info: dict[str, Any]) -> dict[str, float]:
    """Centres of ball and paddles in frame pixels from the console's memory, NaN while out of sight.

    RAM[49], RAM[54] are the ball's x and y; RAM[51] and RAM[50] the own and the opponent's paddle's y.
    """
    ram = env.unwrapped.ale.getRAM()  # type: ignore[attr-defined]
    ball_x, ball_y = to_frame_pixels(float(ram[49]) - 48.25, float(ram[54]) - 12.0, _CROP)
    own_x, own_y = to_frame_pixels(142.0, float(ram[51]) - 6.0, _CROP)
    opp_x, opp_y = to_frame_pixels(18.0, float(ram[50]) - 7.0, _CROP)
    nan = float("nan")
    if ram[54] == 0:
        ball_x = ball_y = nan
    if ram[50] < 37:  # The opponent leaves the field upwards between two points.
        opp_x = opp_y = nan
    return {"ball_x": ball_x, "ball_y": ball_y, "own_x": own_x, "own_y": own_y, "opp_x": opp_x, "opp_y": opp_y}


GAME = Game(
    source=SourceConfig(
        env_id="ALE/Pong-v5",
        crop=_CROP,
        fps=15.0,
        action_meanings=("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"),
        # The console's joystick is turned: RIGHT moves the paddle up, LEFT down; FIRE does nothing in a rally.
        effects=(0, 0, 1, 2, 1, 2),
        keys={"up": 2, "w": 2, "right": 2, "d": 2, "down": 3, "s": 3, "left": 3, "a": 3},
    ),
    truth_names=("ball_x", "ball_y", "own_x", "own_y", "opp_x", "opp_y"),
    truth=_truth,
    colours=SpriteColours(
        background=(144, 72, 17),
        sprites={"ball": (236, 236, 236), "own": (92, 186, 92), "opp": (213, 130, 74)},
        rows=(11, 62),
    ),
    # The console's joystick is turned: RIGHT moves the paddle up, LEFT down.
    follow=Follow(stay=0, back=2, forth=3),
    action_directions=((1, "own_y", -1), (2, "own_y", +1)),
)
