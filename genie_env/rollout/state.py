"""Where dreams stand between two steps, and what a whole rollout brought. Knows nothing of how frames are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch


@dataclass
class RolloutState:
    """Where every row's dream stands.

    Attributes:
        cache: what the dynamics remembers, a :class:`~genie_env.models.protocols.Memory` of its own making.
        recent_BCN: the last frames' tokens, oldest first; the last one is the present frame.
        key_B: int64, the row's random key.
        step_B: int64, steps since the row's reset.
    """

    cache: Any
    recent_BCN: torch.Tensor
    key_B: torch.Tensor
    step_B: torch.Tensor

    @property
    def tokens_BN(self) -> torch.Tensor:
        """Tokens of the present frame."""
        return self.recent_BCN[:, -1]

    def take(self, rows_R: torch.Tensor) -> RolloutState:
        """A new state of these rows in this order, any of them more than once.

        Raises:
            TypeError: if the dynamics' memory cannot copy rows.
        """
        if not hasattr(self.cache, "take"):
            raise TypeError(f"{type(self.cache).__name__}: expected a memory whose rows can be copied, with a take()")
        return RolloutState(self.cache.take(rows_R), self.recent_BCN[rows_R], self.key_B[rows_R], self.step_B[rows_R])

    def clone(self) -> RolloutState:
        """An independent copy."""
        return RolloutState(self.cache.clone(), self.recent_BCN.clone(), self.key_B.clone(), self.step_B.clone())


class Rollout(NamedTuple):
    """What a whole rollout of T steps brought; the prompt's frames are not part of it."""

    tokens_BTN: torch.Tensor
    """int64, the frames that were drawn."""
    rewards_BT: torch.Tensor | None
    """float32, of each step; None without an outcome head."""
    ends_BT: torch.Tensor | None
    """bool, whether the step ended the episode; rows go on all the same. None without an outcome head."""
    entropy_BT: torch.Tensor
    """float32, mean entropy of each frame's tokens in nats."""
    log_prob_B: torch.Tensor | None = None
    """float32, joint log-probability of the row's frames in nats, where a beam search chose them."""
    uncertainty_BT: torch.Tensor | None = None
    """float32, disagreement of an ensemble's members in nats a frame; None where the dynamics has no members, and of a
    beam search."""
