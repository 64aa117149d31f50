"""The mixture of players that makes recordings varied.

A world can only dream what it has seen, so the mixture has long rallies, points won and lost, and every action in
every situation. An agent that learns to win in the dream leaves the weaker players behind: without a player that wins,
the world would have to guess what its best shots do.
"""

from __future__ import annotations

import numpy as np

from genie_env.players import AimPlayer, FollowPlayer, Player, RandomPlayer, StickyRandomPlayer
from training.games import Game

MIXTURE = {"random": 0.1, "sticky": 0.15, "follow": 0.25, "aim": 0.5}
SCRIPTED = ("follow", "aim")


def make_player(game: Game, num_actions: int, rng: np.random.Generator) -> tuple[str, Player]:
    """Draw one player of the mixture; games without ground truth get the random kinds only."""
    names = [name for name in MIXTURE if name not in SCRIPTED or game.follow is not None]
    weights = np.array([MIXTURE[name] for name in names])
    name = str(rng.choice(names, p=weights / weights.sum()))
    if name in SCRIPTED:
        assert game.follow is not None
        mistakes = float(rng.choice([0.02, 0.1, 0.3]))
        if name == "follow":
            return name, FollowPlayer(game.follow, rng, mistakes, reach=float(rng.choice([2.5, 4.0, 6.0])))
        lead = float(rng.choice([0.5, 1.0, 1.5]))
        return name, AimPlayer(game.follow, rng, mistakes, reach=float(rng.choice([1.0, 2.5, 4.0])), lead=lead)
    return name, (RandomPlayer if name == "random" else StickyRandomPlayer)(num_actions, rng)
