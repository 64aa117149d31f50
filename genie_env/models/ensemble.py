"""Ensemble: several dynamics whose predictions are averaged, and that tells how far they are apart.

Two ways to have members: dynamics that were trained independently (deep ensembles, Lakshminarayanan et al. 2017, arXiv
1612.01474), or heads on one trunk, each trained on clips of its own (bootstrapped heads, Osband et al. 2016, arXiv
1602.04621). The second reads a frame once, whatever the number of heads.

Members are mixed token by token, in every pass of the head: p(token) is the mean of the members' probabilities, of its
staying and of each value that it may become. In a later pass all members see the tokens that the mixture drew, and so
agree on what is decided. A member drawn for a whole frame would keep its tokens together in one pass too, but then the
most likely frame, an action's likelihood and a token's entropy would be those of one member, not of the ensemble.

Where members differ, the ensemble does not know. The measure is the mutual information between the member and the
token, the entropy of the mixture minus the members' mean entropy: 0 where all members are equally unsure, as they
should be of a serve, and at most log(members). Entropy alone cannot tell what nobody can know from what the members
have not learned (Houlsby et al. 2011, arXiv 1112.5745; Depeweg et al. 2018, arXiv 1710.07283). It is measured in the
first pass, before temperature and nucleus, and summed over a frame's tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from genie_env.config import EnsembleConfig
from genie_env.models.dynamics import Dynamics
from genie_env.nn.kv_cache import KVCache

TRUNK = ("embed", "embed_action", "position", "enter", "blocks")
"""Parts of a dynamics that heads share. Tokens keep one embedding on the way in and out."""


@dataclass
class EnsembleMemory:
    """What each trunk remembers."""

    caches: list[KVCache]

    def take(self, rows: torch.Tensor) -> EnsembleMemory:
        """A new memory of these ``rows`` int64 [R] in this order, any of them more than once."""
        return EnsembleMemory([cache.take(rows) for cache in self.caches])

    def clone(self) -> EnsembleMemory:
        """An independent copy."""
        return EnsembleMemory([cache.clone() for cache in self.caches])


class DynamicsEnsemble(nn.Module):
    """K members as one :class:`~genie_env.models.protocols.TokenWorldModel`, over S trunks: S is K, or 1 of heads."""

    def __init__(self, config: EnsembleConfig, members: Sequence[Dynamics] | None = None) -> None:
        """Build it.

        Args:
            config: of the ensemble.
            members: that it shall consist of, the very same; heads must share their trunk. None: fresh ones.
        """
        super().__init__()
        self.config, self.mask_token = config, config.vocab_size
        self.members = nn.ModuleList(_fresh(config) if members is None else members)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._all[0].device

    def first(self, count: int) -> Dynamics | DynamicsEnsemble:
        """The first ``count`` members: one is a dynamics like any other. They are not copied.

        Raises:
            ValueError: if there are not so many.
        """
        if not 1 <= count <= self.config.members:
            raise ValueError(f"members: expected an integer from 1 to {self.config.members}, got {count!r}")
        if count == 1:
            return self._all[0]
        return DynamicsEnsemble(replace(self.config, members=count), self._all[:count])

    def init_embedding_from_descriptors(self, descriptors_VK: torch.Tensor) -> None:
        """Let tokens that look alike begin with alike embeddings."""
        for trunk in self._trunks:
            trunk.init_embedding_from_descriptors(descriptors_VK)

    def hidden_matrices(self) -> list[nn.Parameter]:
        """As of a dynamics; those of a shared trunk come once."""
        return list({id(p): p for member in self._all for p in member.hidden_matrices()}.values())

    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        """Features of whole clips, of each trunk: [B, T, S, G, D]."""
        return torch.stack([trunk.trunk(tokens_BTN, actions_BT) for trunk in self._trunks], dim=2)

    def empty_cache(self, rows: int) -> EnsembleMemory:
        """A memory for ``rows`` rollouts, on the networks' device."""
        return EnsembleMemory([trunk.empty_cache(rows) for trunk in self._trunks])

    def prefill(
        self, cache: EnsembleMemory, rows: torch.Tensor, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor
    ) -> None:
        """Make the cache's ``rows`` remember these frames and actions, and nothing else."""
        for trunk, own in zip(self._trunks, cache.caches, strict=True):
            trunk.prefill(own, rows, tokens_BTN, actions_BT)

    def step(self, cache: EnsembleMemory, tokens_BN: torch.Tensor, actions_B: torch.Tensor) -> torch.Tensor:
        """Features [B, S, G, D] of the present frame, which the cache then remembers."""
        pairs = zip(self._trunks, cache.caches, strict=True)
        return torch.stack([trunk.step(own, tokens_BN, actions_B) for trunk, own in pairs], dim=1)

    def decode(self, features_MSGD: torch.Tensor, decided_MN: torch.Tensor) -> torch.Tensor:
        """The heads' outputs for each token of the next frame, one member after another: [M, N, K * (E + 1)]."""
        features = features_MSGD.unbind(1)
        return torch.cat([m.decode(features[k % len(features)], decided_MN) for k, m in enumerate(self._all)], dim=-1)

    def stay_logits(self, head_out: torch.Tensor) -> torch.Tensor:
        """Logit [...] of the mean probability that a token stays."""
        logits = torch.stack([m.stay_logits(part) for m, part in self._parts(head_out)])
        return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)

    def member_log_probs(self, head_out: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [K, ..., V] of each next token, as each member has them."""
        return torch.stack([m.log_probs(part, current) for m, part in self._parts(head_out)])

    def log_probs(self, head_out: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [..., V] of each next token: logarithms of the members' mean probabilities."""
        return mixture(self.member_log_probs(head_out, current))

    def change_log_probs(self, head_out: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [..., V] of what a token becomes, given that it does not stay ``current`` [...]."""
        change = self.log_probs(head_out, current) - F.logsigmoid(-self.stay_logits(head_out))[..., None]
        return change.scatter(-1, current[..., None], -torch.inf)

    @property
    def _all(self) -> list[Dynamics]:
        return cast("list[Dynamics]", list(cast(Any, self.members)))

    @property
    def _trunks(self) -> list[Dynamics]:
        return self._all[: self.config.num_trunks]

    def _parts(self, head_out: torch.Tensor) -> list[tuple[Dynamics, torch.Tensor]]:
        return list(zip(self._all, head_out.chunk(self.config.members, dim=-1), strict=True))


def _fresh(config: EnsembleConfig) -> list[Dynamics]:
    """Members with random weights."""
    members: list[Dynamics] = []
    for _ in range(config.members):
        member = Dynamics(config.member)
        if members and config.member_kind == "heads":
            # At once: a trunk that is not needed is freed before the next one is made.
            for name in TRUNK:
                setattr(member, name, getattr(members[0], name))
        members.append(member)
    return members


def trunks_and_heads(dynamics: Dynamics | DynamicsEnsemble) -> tuple[list[Dynamics], list[Dynamics]]:
    """The dynamics whose trunks are run at a step, and those whose heads are; of a single one, itself."""
    if isinstance(dynamics, Dynamics):
        return [dynamics], [dynamics]
    return dynamics._trunks, dynamics._all


def mixture(log_probs_KXV: torch.Tensor) -> torch.Tensor:
    """Logarithms of the mean of K probabilities: [K, ..., V] -> [..., V]."""
    return log_probs_KXV.logsumexp(0) - math.log(len(log_probs_KXV))


def disagreement(log_probs_KXV: torch.Tensor, mixed_XV: torch.Tensor) -> torch.Tensor:
    """Mutual information [...] in nats between the member and a token.

    Computed as the members' mean divergence from the mixture: the difference of two entropies, which is the same,
    would lose what is small.

    Args:
        log_probs_KXV: log-probabilities [K, ..., V] of each member.
        mixed_XV: those of their :func:`mixture`.
    """
    apart_KX = (log_probs_KXV.exp() * (log_probs_KXV - mixed_XV)).sum(-1)
    return apart_KX.mean(0).clamp_min(0.0)
