"""Policies that need no learning, all with one interface: ``act(obs) -> action``, and a generator of their own.

An observation is a frame of the dream or of the real game, uint8 [64, 64, 3]: the scripted player finds ball and
paddle in the picture, so it plays both. The players themselves are those that recordings are made with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genie_env.config import WorldConfig
from genie_env.games.players import DiversePlayer, Follow, FollowPlayer, Player, RandomPlayer, StickyRandomPlayer
from genie_env.games.registry import game_for, known_games
from genie_env.games.sprites import SpriteColours

POLICIES = ("random", "sticky", "diverse", "heuristic")
ENOUGH = 0.5
"""Pixels' worth of its colour that make a sprite: a ball that two rows of pixels share still has them."""


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
        seen = find_sprites(obs, self._colours)
        places = {f"{name}_{axis}": at for name, centre in seen.items() for axis, at in zip("xy", centre, strict=True)}
        return self._player.act(places)


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


def find_sprites(frame_HWC: np.ndarray, colours: SpriteColours) -> dict[str, tuple[float, float]]:
    """Centre (x, y) of each sprite in pixels of a frame uint8 [H, W, 3]; NaN where it is absent.

    A pixel is a mixture of the background's colour and one sprite's, that which explains it best.
    """
    top, bottom = colours.rows
    field_MC = frame_HWC[top:bottom].reshape(-1, 3).astype(np.float32) - np.array(colours.background, np.float32)
    (moved_M,) = np.nonzero(np.abs(field_MC).sum(1) > 30)
    field_MC = field_MC[moved_M]
    y_M, x_M = np.divmod(moved_M, frame_HWC.shape[1])
    share_MS = colours.shares(field_MC)
    best_M = colours.belongs(field_MC, share_MS, y_M + top)
    centres = {}
    for index, name in enumerate(colours.sprites):
        weight_M = np.where(best_M == index, share_MS[:, index], 0.0)
        mass = float(weight_M.sum())
        there = mass > ENOUGH
        centres[name] = (
            float(weight_M @ x_M) / mass if there else float("nan"),
            float(weight_M @ y_M) / mass + top if there else float("nan"),
        )
    return centres
