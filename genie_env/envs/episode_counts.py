"""What is counted of an episode while it is played. Knows nothing of worlds, windows or Gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class EpisodeCounts(NamedTuple):
    """Where an episode stands; part of an environment's snapshot, so that figures go back with the dream."""

    episode: int = 0
    """Number of the episode, from 1; 0 before the first reset."""
    step: int = 0
    """Steps since the reset."""
    reward: float = 0.0
    """Of the last step."""
    total: float = 0.0
    """Sum of the episode's rewards."""
    action: int = -1
    """The last executed action, in the environment's action space; -1 before the first step."""
    entropy: float = 0.0
    """Mean entropy of the last frame's tokens, in nats."""

    def begun(self) -> EpisodeCounts:
        """The counts at the beginning of the next episode."""
        return EpisodeCounts(self.episode + 1)

    def stepped(self, reward: float, info: Mapping[str, Any]) -> EpisodeCounts:
        """The counts after one more step with this reward and information."""
        return EpisodeCounts(
            self.episode, int(info["step"]), reward, self.total + reward, int(info["action"]), float(info["entropy"])
        )
