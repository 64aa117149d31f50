"""The mixture of players that makes recordings varied.

A world can only dream what it has seen, so the mixture has long rallies, misses on both sides, and every action in
every situation.
"""

from __future__ import annotations

import numpy as np

from genie_env.players import FollowPlayer, Player, RandomPlayer, StickyRandomPlayer
from training.games import Game

MIXTURE = {"random": 0.15, "sticky": 0.25, "follow": 0.6}


def make_player(game: Game, num_actions: int, rng: np.random.Generator) -> tuple[str, Player]:
    """Draw one player of the mixture; games without ground truth get the random kinds only."""
    names = [name for name in MIXTURE if name != "follow" or game.follow is not None]
    weights = np.array([MIXTURE[name] for name in names])
    name = str(rng.choice(names, p=weights / weights.sum()))
    if name == "follow":
        assert game.follow is not None
        mistakes, reach = float(rng.choice([0.02, 0.1, 0.3])), float(rng.choice([2.5, 4.0, 6.0]))
        return name, FollowPlayer(game.follow, rng, mistakes, reach)
    return name, (RandomPlayer if name == "random" else StickyRandomPlayer)(num_actions, rng)
