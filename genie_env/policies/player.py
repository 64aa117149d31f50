"""A policy in one game: it remembers the last frames it saw and draws its actions. Knows no environment."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Protocol

import numpy as np

from genie_env.policies.token_policy import TokenPolicy


class PlayerState(NamedTuple):
    """What a player remembers."""

    stacked_FN: np.ndarray
    rng: np.random.Generator


class TokenPlayer(Protocol):
    """Plays one game by its frames' tokens: :meth:`begin`, then :meth:`act` and :meth:`see` in turns."""

    def begin(self, tokens_N: np.ndarray, /) -> None:
        """A game begins with these tokens."""
        ...

    def see(self, action: int, tokens_N: np.ndarray, /) -> None:
        """The game played an action of the dream, whoever chose it, and these are its tokens now."""
        ...

    def act(self) -> int:
        """Choose one of the player's actions, from 0."""
        ...

    def snapshot(self) -> Any:
        """What decides how the player goes on, for :meth:`restore`."""
        ...

    def restore(self, state: Any, /) -> None:
        """Go back to a snapshot, which stays usable."""
        ...


class PolicyPlayer:
    """Plays one game with a policy: :meth:`begin`, then :meth:`act` and :meth:`see` in turns."""

    def __init__(self, policy: TokenPolicy, rng: np.random.Generator, likeliest: bool = False) -> None:
        """Sit down.

        Args:
            policy: that plays.
            rng: the player's own generator.
            likeliest: take the likeliest action instead of drawing one, as policies do while they learn.
        """
        self.policy, self._rng, self._likeliest = policy, rng, likeliest
        spec = policy.config.spec
        self._stacked_FN = np.zeros((spec.frame_stack, policy.config.num_tokens), np.int64)

    def begin(self, tokens_N: np.ndarray) -> None:
        """A game begins with these tokens; frames before them count as zeros, as in stable-baselines3's stacks."""
        self._stacked_FN = np.zeros_like(self._stacked_FN)
        self._stacked_FN[-1] = tokens_N

    def see(self, action: int, tokens_N: np.ndarray) -> None:
        """The next frame, as tokens [N]; a policy sees by itself what the action before it did."""
        self._stacked_FN = np.roll(self._stacked_FN, -1, axis=0)
        self._stacked_FN[-1] = tokens_N

    def act(self) -> int:
        """Choose one of the policy's actions, from 0."""
        logits_A = self.policy.logits(self._stacked_FN.reshape(1, -1))[0].astype(np.float64)
        # The largest of logits with Gumbel noise is a draw from their softmax.
        noise_A = 0.0 if self._likeliest else self._rng.gumbel(size=logits_A.shape)
        return int((logits_A + noise_A).argmax())

    def snapshot(self) -> PlayerState:
        """What decides how the player goes on, for :meth:`restore`."""
        return PlayerState(self._stacked_FN, copy.deepcopy(self._rng))

    def restore(self, state: PlayerState) -> None:
        """Go back to a snapshot, which stays usable."""
        self._stacked_FN, self._rng = state.stacked_FN, copy.deepcopy(state.rng)
