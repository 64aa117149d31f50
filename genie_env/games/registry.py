"""What is known of particular games: one entry a game, added with :func:`register_game`.

Everything works for any game. One that is not registered simply has no ground truth, no sprites and no scripted
player, and each of its actions counts as an effect of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from genie_env.config import SourceConfig
from genie_env.games.players import Follow
from genie_env.games.sprites import SpriteColours

Truth = Callable[[gym.Env[Any, Any], dict[str, Any]], dict[str, float]]


@dataclass(frozen=True)
class Game:
    """Knowledge about one game; every field but the source's id may stay empty."""

    source: SourceConfig
    truth_names: tuple[str, ...] = ()
    truth: Truth | None = None
    colours: SpriteColours | None = None
    follow: Follow | None = None
    """Actions of a player that follows the ball."""
    action_directions: tuple[tuple[int, str, int], ...] = ()
    """What commands do: (effect, name of a truth, +1 or -1), the direction in which the effect moves that truth."""
    tracked: str = "ball"
    """The sprite that random events (a serve) move; followed by the scripted players."""


_GAMES: dict[str, Game] = {}


def register_game(game: Game) -> None:
    """Make a game known under the id of its source; a later entry for the same id replaces the earlier one.

    Raises:
        ValueError: if the source has no id.
    """
    if not game.source.env_id:
        raise ValueError("register_game: expected a source with an env_id, got an empty one")
    _GAMES[game.source.env_id] = game


def known_games() -> list[str]:
    """Ids of the registered games."""
    return sorted(_GAMES)


def game_for(env_id: str) -> Game:
    """Knowledge about ``env_id``; an empty entry for unknown games."""
    return _GAMES.get(env_id) or Game(source=SourceConfig(env_id=env_id))


def merged_effects(source: SourceConfig) -> np.ndarray:
    """int64 [num real actions]: index of each real action's effect."""
    return np.asarray(source.effects, dtype=np.int64)


def to_frame_pixels(x: float, y: float, crop: tuple[int, int, int, int], size: int = 64) -> tuple[float, float]:
    """Column and row of the screen as column and row of the frame cut out of it and averaged down."""
    top, bottom, left, right = crop
    return (x - left) * size / (right - left) - 0.5, (y - top) * size / (bottom - top) - 0.5
