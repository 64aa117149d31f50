"""What the rest of the project asks of a video tokenizer and of a dynamics; whatever has these may take their place.

Both are ``torch.nn.Module`` as well, built from one frozen configuration (see :mod:`genie_env.models.registry`).
"""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeGuard

import torch

from genie_env.config import DynamicsConfig, TokenizerConfig


class VideoTokenizer(Protocol):
    """Frame <-> tokens, one frame at a time; uint8 on the outside. What a row becomes depends on that row alone."""

    config: TokenizerConfig

    def encode(self, frames_BHWC: torch.Tensor, /) -> torch.Tensor:
        """uint8 [B, H, W, 3] -> int64 tokens [B, N], row by row from the top left."""
        ...

    def decode(self, tokens_BN: torch.Tensor, /) -> torch.Tensor:
        """int64 tokens [B, N] -> uint8 [B, H, W, 3]."""
        ...

    def descriptors(self) -> torch.Tensor:
        """float [V, K]: what each token looks like, in any coordinates in which alike tokens are near."""
        ...


class Memory(Protocol):
    """What a dynamics remembers of every row of a rollout."""

    def clone(self) -> Self:
        """An independent copy."""
        ...

    def take(self, rows: torch.Tensor, /) -> Self:
        """A new memory of these rows int64 [R] in this order, any of them more than once."""
        ...


class TokenWorldModel(Protocol):
    """Past tokens and an action -> the next frame's tokens.

    A step makes features of the present frame, and ``decode`` turns them into what is read by ``stay_logits`` and
    ``log_probs``: head outputs [B, N, D] with one row per token. What becomes of a row depends on that row alone.
    """

    mask_token: int
    """Stands for a token of the next frame that is not decided yet."""

    @property
    def config(self) -> DynamicsConfig:
        """Its sizes."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the network is; tensors go in and come out there."""
        ...

    def empty_cache(self, rows: int, /) -> Any:
        """A :class:`Memory` of ``rows`` rollouts that have seen nothing."""
        ...

    def prefill(self, cache: Any, rows_R: torch.Tensor, tokens_RTN: torch.Tensor, actions_RT: torch.Tensor, /) -> None:
        """Make ``rows_R`` of the cache remember these frames and the actions taken at them, and nothing else."""
        ...

    def step(self, cache: Any, tokens_BN: torch.Tensor, actions_B: torch.Tensor, /) -> torch.Tensor:
        """Features of the present frame, which the cache then remembers."""
        ...

    def decode(self, features: torch.Tensor, decided_BN: torch.Tensor, /) -> torch.Tensor:
        """Head outputs [B, N, D], given the tokens that are decided; the others are ``mask_token``."""
        ...

    def stay_logits(self, head_out: torch.Tensor, /) -> torch.Tensor:
        """Logit [...] of each token staying what it is, from head outputs [..., D]."""
        ...

    def log_probs(self, head_out: torch.Tensor, current: torch.Tensor, /) -> torch.Tensor:
        """Log-probabilities [..., V] of each next token, from head outputs [..., D] and the present tokens [...]."""
        ...


class MixtureModel(TokenWorldModel, Protocol):
    """A token world model whose predictions are the mean of several members', and that shows each of them."""

    def member_log_probs(self, head_out: torch.Tensor, current: torch.Tensor, /) -> torch.Tensor:
        """Log-probabilities [K, ..., V] of each next token, as each of the K members has them."""
        ...


def is_mixture(dynamics: TokenWorldModel) -> TypeGuard[MixtureModel]:
    """Whether a dynamics has members that may disagree."""
    return hasattr(dynamics, "member_log_probs")
