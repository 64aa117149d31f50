"""A policy whose actions are replaced now and then, while it learns, by those of a player that explores.

In a game whose first reward lies a hundred well-chosen steps away a policy that begins at random never sees one, and
learns nothing: in Freeway a random player does not cross the road once in a thousand games. A player that prefers one
action for a while (:class:`BiasedPlayer`) gets there by chance. Where it plays, the learner takes what happened for
its own: it learns to play what paid off. That is no longer the policy's own experience, and the estimate of its
gradient is biased; as the share of such rows falls, so does the bias.

Owns the replacement. Knows nothing about games.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from genie_env.games.players import BiasedPlayer

STRETCH = 100
"""Steps after which rows to explore in are drawn again; as long as a biased player's preferences hold."""


class Guide:
    """Plays some rows by biased players."""

    def __init__(self, num_actions: int, rows: int, rng: np.random.Generator, share: Callable[[], float]) -> None:
        """Prepare.

        Args:
            num_actions: size of the action space.
            rows: games played at once.
            rng: of the players, and of who plays.
            share: the present share of rows to explore in.
        """
        self._players = [BiasedPlayer(num_actions, rng, stretch=STRETCH) for _ in range(rows)]
        self._rng, self._share = rng, share
        self._step, self._guided_B = 0, np.zeros(rows, dtype=bool)

    def replace(self, actions_B: np.ndarray) -> np.ndarray | None:
        """The actions with those of explored rows in their place, int [B]; None where no row is explored now."""
        if self._step % STRETCH == 0:
            self._guided_B = self._rng.random(len(self._players)) < self._share()
            for row in np.flatnonzero(self._guided_B):
                self._players[row].reset()
        self._step += 1
        if not self._guided_B.any():
            return None
        replaced_B = actions_B.copy()
        for row in np.flatnonzero(self._guided_B):
            replaced_B[row] = self._players[row].act(None)
        return replaced_B


class GuidedPolicy(ActorCriticPolicy):
    """Actor and critic, with a :class:`Guide` while they have one."""

    guide: Guide | None = None

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions [B], values [B, 1] and the actions' log-probabilities [B] under this policy.

        Algorithms call this to collect experience only; to play, they ask for :meth:`predict`, which has no guide.
        """
        actions_B, values_B1, log_probs_B = super().forward(obs, deterministic)
        replaced_B = self.guide.replace(actions_B.cpu().numpy()) if self.guide is not None else None
        if replaced_B is None:
            return actions_B, values_B1, log_probs_B
        actions_B = torch.as_tensor(replaced_B, device=actions_B.device)
        return actions_B, values_B1, self.get_distribution(obs).log_prob(actions_B)
