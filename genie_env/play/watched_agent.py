"""A learned policy at the window: it plays the dream, and the real game beside it, until a person takes over.

Owns whose turn it is and what the policy saw of each game. Knows nothing of windows, and of keys only that one took
over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genie_env.policies.player import PlayerState, PolicyPlayer
from genie_env.policies.token_policy import TokenPolicy

Encode = Callable[[np.ndarray], np.ndarray]
"""Tokens int [N] of a frame uint8 [H, W, 3]."""


class AgentState(NamedTuple):
    """What decides how the policy goes on in each game."""

    dream: PlayerState
    real_game: PlayerState


class WatchedAgent:
    """A policy that looks at each game by itself, so that it plays both well when they come to differ."""

    def __init__(self, policy: TokenPolicy, encode: Encode, seed: int | None = None) -> None:
        """Let the policy play.

        Args:
            policy: that plays.
            encode: the world's tokenizer, for frames of the real game.
            seed: of the actions it draws.
        """
        self.plays = True
        """Whether the policy plays; otherwise a person does."""
        self._encode, self._actions = encode, policy.config.spec.dream_actions
        rngs = [np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(2)]
        self._dream, self._real_game = (PolicyPlayer(policy, rng) for rng in rngs)

    def begin(self, tokens_N: np.ndarray, real_frame_HWC: np.ndarray | None) -> None:
        """New games begin: the dream with these tokens, the real game, if there is one, with this frame."""
        self._dream.begin(tokens_N)
        if real_frame_HWC is not None:
            self._real_game.begin(self._encode(real_frame_HWC))

    def see(self, tokens_N: np.ndarray, real_frame_HWC: np.ndarray | None) -> None:
        """One step of both games was played, by whomever."""
        self._dream.see(tokens_N)
        if real_frame_HWC is not None:
            self._real_game.see(self._encode(real_frame_HWC))

    def act(self) -> int:
        """The dream's action."""
        return self._actions[self._dream.act()]

    def act_in_real_game(self) -> int:
        """The action in the real game, as the dream names actions."""
        return self._actions[self._real_game.act()]

    def snapshot(self) -> AgentState:
        """What decides how the policy goes on, for :meth:`restore`."""
        return AgentState(self._dream.snapshot(), self._real_game.snapshot())

    def restore(self, state: AgentState) -> None:
        """Go back to a snapshot; who plays stays as it is."""
        self._dream.restore(state.dream)
        self._real_game.restore(state.real_game)
