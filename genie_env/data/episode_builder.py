"""One episode while it is being played: frames, and what happened after each.

Owns how steps become the aligned rows of an :class:`Episode`. Knows nothing about players or learning.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genie_env.data.episodes import Episode


class EpisodeBuilder:
    """Collects the steps of one episode; its length is the number of transitions so far."""

    def __init__(self, frame_HWC: np.ndarray, truth: Sequence[float] = ()) -> None:
        """Begin with the first frame, uint8, and its ground truth, in the order of the recording's columns."""
        self._frames, self._truth = [frame_HWC], [tuple(truth)]
        self._actions: list[int] = []
        self._rewards: list[float] = []

    def __len__(self) -> int:
        return len(self._actions)

    def add(self, action: int, reward: float, frame_HWC: np.ndarray, truth: Sequence[float] = ()) -> None:
        """Add a transition: ``action`` was played, ``reward`` came of it, and ``frame_HWC`` showed then."""
        self._actions.append(action)
        self._rewards.append(reward)
        self._frames.append(frame_HWC)
        self._truth.append(tuple(truth))

    def episode(self, player: str, terminated: bool) -> Episode:
        """All steps so far.

        Args:
            player: who played.
            terminated: whether the last transition ended the game.
        """
        truth = np.array(self._truth, dtype=np.float32)
        actions, rewards = np.array(self._actions, dtype=np.int64), np.array(self._rewards, dtype=np.float64)
        return Episode(np.stack(self._frames), actions, rewards, terminated, truth, player)

    def rest(self) -> EpisodeBuilder:
        """An empty builder of what comes next where a game is cut: it begins with the last frame of this one."""
        return EpisodeBuilder(self._frames[-1], self._truth[-1])
