"""What recording and measuring know about particular games: ground truth, effects of actions, keys, a crop that
suits the patch grid. What any picture of them shows is in :mod:`genie_env.known_games`.

Everything else in ``training`` works for any game; a game that is not listed here simply has no ground truth and
treats each of its actions as an effect of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from genie_env.config import SourceConfig
from genie_env.known_games import KNOWN_GAMES, Follow, SpriteColours

Truth = Callable[[gym.Env[Any, Any], dict[str, Any]], dict[str, float]]


@dataclass(frozen=True)
class Game:
    """Knowledge about one game; every field may stay empty."""

    source: SourceConfig
    truth_names: tuple[str, ...] = ()
    truth: Truth | None = None
    colours: SpriteColours | None = None
    follow: Follow | None = None
    """Actions of a player that follows the ball."""
    obeys: tuple[tuple[int, str, int], ...] = ()
    """What commands do: (effect, name of a truth, +1 or -1), the direction in which the effect moves that truth."""


# 25 rows and 20 columns of the screen make exactly one 8-pixel patch each: sprites then repeat with the patch
# grid, and a few hundred patches draw every picture. The ten rows cut off are plain border.
_PONG_CROP = (0, 200, 0, 160)


def _to_frame(x: float, y: float, crop: tuple[int, int, int, int], size: int = 64) -> tuple[float, float]:
    top, bottom, left, right = crop
    return (x - left) * size / (right - left) - 0.5, (y - top) * size / (bottom - top) - 0.5


def _pong_truth(env: gym.Env[Any, Any], info: dict[str, Any]) -> dict[str, float]:
    """Centres of ball and paddles in frame pixels from the console's memory, NaN while out of sight.

    RAM[49], RAM[54] are the ball's x and y; RAM[51] and RAM[50] the own and the opponent's paddle's y.
    """
    ram = env.unwrapped.ale.getRAM()  # type: ignore[attr-defined]
    ball_x, ball_y = _to_frame(float(ram[49]) - 48.25, float(ram[54]) - 12.0, _PONG_CROP)
    own_x, own_y = _to_frame(142.0, float(ram[51]) - 6.0, _PONG_CROP)
    opp_x, opp_y = _to_frame(18.0, float(ram[50]) - 7.0, _PONG_CROP)
    nan = float("nan")
    if ram[54] == 0:
        ball_x = ball_y = nan
    if ram[50] < 37:  # The opponent leaves the field upwards between two points.
        opp_x = opp_y = nan
    return {"ball_x": ball_x, "ball_y": ball_y, "own_x": own_x, "own_y": own_y, "opp_x": opp_x, "opp_y": opp_y}


_PONG = Game(
    source=SourceConfig(
        env_id="ALE/Pong-v5",
        crop=_PONG_CROP,
        fps=15.0,
        action_meanings=("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"),
        # The console's joystick is turned: RIGHT moves the paddle up, LEFT down; FIRE does nothing in a rally.
        effects=(0, 0, 1, 2, 1, 2),
        keys={"up": 2, "w": 2, "right": 2, "d": 2, "down": 3, "s": 3, "left": 3, "a": 3},
    ),
    truth_names=("ball_x", "ball_y", "own_x", "own_y", "opp_x", "opp_y"),
    truth=_pong_truth,
    colours=KNOWN_GAMES["ALE/Pong-v5"].colours,
    follow=KNOWN_GAMES["ALE/Pong-v5"].follow,
    obeys=((1, "own_y", -1), (2, "own_y", +1)),
)

# 24 rows and 18 columns of the screen make a patch. Without the walls, which say nothing; with score and lives.
_BREAKOUT_CROP = (1, 193, 8, 152)


def _breakout_truth(env: gym.Env[Any, Any], info: dict[str, Any]) -> dict[str, float]:
    """Centres of ball and paddle in frame pixels from the console's memory, NaN while out of sight.

    RAM[99], RAM[101] are the ball's x and y; RAM[72] is the paddle's x.
    """
    ram = env.unwrapped.ale.getRAM()  # type: ignore[attr-defined]
    ball_x, ball_y = _to_frame(float(ram[99]) - 48.0, float(ram[101]) + 11.0, _BREAKOUT_CROP)
    own_x, own_y = _to_frame(float(ram[72]) - 39.0, 191.0, _BREAKOUT_CROP)
    if ram[101] == 0:
        ball_x = ball_y = float("nan")
    return {"ball_x": ball_x, "ball_y": ball_y, "own_x": own_x, "own_y": own_y}


_BREAKOUT = Game(
    source=SourceConfig(
        env_id="ALE/Breakout-v5",
        crop=_BREAKOUT_CROP,
        fps=15.0,
        action_meanings=("NOOP", "FIRE", "RIGHT", "LEFT"),
        effects=(0, 1, 2, 3),
        keys={"space": 1, "up": 1, "w": 1, "right": 2, "d": 2, "left": 3, "a": 3},
    ),
    truth_names=("ball_x", "ball_y", "own_x", "own_y"),
    truth=_breakout_truth,
    colours=KNOWN_GAMES["ALE/Breakout-v5"].colours,
    follow=KNOWN_GAMES["ALE/Breakout-v5"].follow,
    obeys=((2, "own_x", +1), (3, "own_x", -1)),
)

GAMES: dict[str, Game] = {"ALE/Pong-v5": _PONG, "ALE/Breakout-v5": _BREAKOUT}


def game_for(env_id: str) -> Game:
    """Knowledge about ``env_id``; an empty one for unknown games."""
    return GAMES.get(env_id) or Game(source=SourceConfig(env_id=env_id))


def merged_effects(source: SourceConfig) -> np.ndarray:
    """int64 [num real actions]: index of each real action's effect."""
    return np.asarray(source.effects, dtype=np.int64)
