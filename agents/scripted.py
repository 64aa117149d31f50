"""Policies that need no learning: each has a generator of its own and ``act(obs) -> action``.

An observation is a frame of the dream or of the real game, uint8 [64, 64, 3]: the scripted player finds ball and
paddle in the picture, so it plays both. The players themselves are those that recordings are made with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genie_env.config import WorldConfig
from genie_env.games.players import DiversePlayer, Follow, FollowPlayer, Player, RandomPlayer, StickyRandomPlayer
from genie_env.games.registry import game_for, known_games
from genie_env.games.sprites import SpriteColours, find_sprites

POLICIES = ("random", "sticky", "diverse", "heuristic")


class FollowPolicy:
    """The scripted player: follows the ball it sees in the picture."""

    def __init__(
        self,
        colours: SpriteColours,
        follow: Follow,
        rng: np.random.Generator,
        mistakes: float = 0.0,
        reach: float = 1.0,
    ) -> None:
        """Find sprites by ``colours`` and play ``follow``'s actions; the rest as in :class:`FollowPlayer`."""
        self._colours = colours
        self._player = FollowPlayer(follow, rng, mistakes, reach)

    def reset(self) -> None:
        """Forget the episode before."""
        self._player.reset()

    def act(self, obs: np.ndarray) -> int:
        """Return the next real action for a frame uint8 [H, W, 3]."""
        places = find_sprites(obs, self._colours).coordinates()
        return self._player.act({name: float(place) for name, place in places.items()})


def make_policy(name: str, config: WorldConfig, seed: int, **settings: Any) -> Player:
    """Make one of :data:`POLICIES` for the real actions of a world's game.

    Args:
        name: ``random``, ``sticky``, ``diverse`` (takes ``weight`` and ``window``) or ``heuristic`` (takes
            ``mistakes`` and ``reach``).
        config: of the world.
        seed: of the policy's own generator.
        settings: of the policy.

    Raises:
        ValueError: if there is no such policy, or none that is scripted for this game.
    """
    rng, source = np.random.default_rng(seed), config.source
    if name == "heuristic":
        game = game_for(source.env_id)
        if game.follow is None or game.colours is None:
            scripted = [name for name in known_games() if game_for(name).follow is not None]
            raise ValueError(f"heuristic: no scripted player for {source.env_id!r}, only for {scripted}")
        return FollowPolicy(game.colours, game.follow, rng, **settings)
    kinds = {"random": RandomPlayer, "sticky": StickyRandomPlayer, "diverse": DiversePlayer}
    if name not in kinds:
        raise ValueError(f"policy: expected one of {list(POLICIES)}, got {name!r}")
    return kinds[name](len(source.action_meanings), rng, **settings)
