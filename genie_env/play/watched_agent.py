"""An agent at the window: it plays the dream, and the real game beside it, until a person takes over.

Owns whose turn it is. What plays, a learned policy or a planner, it is given. Knows nothing of windows, and of keys
only that one took over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from genie_env.policies.player import TokenPlayer

Encode = Callable[[np.ndarray], np.ndarray]
"""Tokens int [N] of a frame uint8 [H, W, 3]."""


class AgentState(NamedTuple):
    """What decides how the agent goes on in each game."""

    dream: Any
    real_game: Any


class WatchedAgent:
    """Looks at each game by itself, so that it plays both well when they come to differ."""

    def __init__(
        self,
        make_player: Callable[[np.random.Generator], TokenPlayer],
        actions: tuple[int, ...],
        encode: Encode,
        seed: int | None = None,
        beside: bool = False,
    ) -> None:
        """Let the agent play.

        Args:
            make_player: a player of one game, with its random numbers.
            actions: of the dream, for each of the player's.
            encode: the world's tokenizer, for frames of the real game.
            seed: of the players.
            beside: whether the real game is played, too.
        """
        self.plays = True
        """Whether the agent plays; otherwise a person does."""
        self._encode, self._actions = encode, actions
        rngs = [np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(2)]
        self._dream = make_player(rngs[0])
        self._real_game = make_player(rngs[1]) if beside else None

    def begin(self, tokens_N: np.ndarray, real_frame_HWC: np.ndarray | None) -> None:
        """New games begin: the dream with these tokens, the real game, if there is one, with this frame."""
        self._dream.begin(tokens_N)
        if self._real_game is not None and real_frame_HWC is not None:
            self._real_game.begin(self._encode(real_frame_HWC))

    def see(
        self, action: int, tokens_N: np.ndarray, real_action: int | None, real_frame_HWC: np.ndarray | None
    ) -> None:
        """One step of both games was played, by whomever, with these actions of the dream."""
        self._dream.see(action, tokens_N)
        if self._real_game is not None and real_action is not None and real_frame_HWC is not None:
            self._real_game.see(real_action, self._encode(real_frame_HWC))

    def act(self) -> int:
        """The dream's action."""
        return self._actions[self._dream.act()]

    def act_in_real_game(self) -> int:
        """The action in the real game, as the dream names actions.

        Raises:
            ValueError: if it was made for the dream alone.
        """
        if self._real_game is None:
            raise ValueError("agent: expected one that plays the real game, too (beside=True)")
        return self._actions[self._real_game.act()]

    def snapshot(self) -> AgentState:
        """What decides how the agent goes on, for :meth:`restore`."""
        return AgentState(self._dream.snapshot(), self._real_game and self._real_game.snapshot())

    def restore(self, state: AgentState) -> None:
        """Go back to a snapshot; who plays stays as it is."""
        self._dream.restore(state.dream)
        if self._real_game is not None:
            self._real_game.restore(state.real_game)
