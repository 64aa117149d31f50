"""Names of codes that mean the same in every transition, found without labels.

Codes of a latent action model may be renamed in each context without any frame being drawn worse, so that one code
means "up" after one action and "stay" after another (cross-context non-identifiability: arXiv 2602.10104, 2510.01337).
What does not depend on names is what the codes do relative to each other in one transition (:mod:`.effects`).

1. Prototypes c_k by k-means over the drawn effects d_a of all transitions, where in each transition the codes are
   assigned to prototypes by a permutation p: minimise the sum of ||d_p(k) - c_k||².
2. K-means goes on from there over the observed effects o, one a transition: minimise the sum of min_k ||o - c_k||².
3. The name of a transition is the prototype nearest to its observed effect. Names are soft where two are near.

Works on vectors; knows no models, no pictures and no labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

SHARPNESS = 10.0
"""The mean gap between nearest and farthest prototype counts for so many nats."""
TRIALS, ROUNDS = 4, 25


class Clusters(NamedTuple):
    """Prototypes of effects."""

    prototypes_AF: torch.Tensor
    cost: float
    """Mean squared distance of a transition's drawn effects from their prototypes, over that from their mean."""


def permuted_means(drawn_MAF: torch.Tensor, seed: int = 0) -> Clusters:
    """K-means over drawn effects in which each transition's codes are assigned one to one (step 1).

    Begins with the effects of single transitions, and keeps the best of a few trials.
    """
    rng, best = np.random.default_rng(seed), None
    spread = float((drawn_MAF - drawn_MAF.mean((0, 1))).square().sum((1, 2)).mean()) + 1e-9
    for _ in range(TRIALS):
        prototypes_AF, before = drawn_MAF[int(rng.integers(len(drawn_MAF)))].clone(), None
        for _ in range(ROUNDS):
            order_MA, cost = _assign(drawn_MAF, prototypes_AF)
            prototypes_AF = torch.take_along_dim(drawn_MAF, order_MA[:, :, None], 1).mean(0)
            if before is not None and torch.equal(order_MA, before):
                break
            before = order_MA
        if best is None or cost / spread < best.cost:
            best = Clusters(prototypes_AF, cost / spread)
    assert best is not None
    return best


def observed_means(observed_MF: torch.Tensor, prototypes_AF: torch.Tensor) -> torch.Tensor:
    """K-means over observed effects, from given prototypes (step 2); a prototype that nothing is near to stays."""
    for _ in range(ROUNDS):
        nearest_M = nearest(observed_MF, prototypes_AF)
        means = [observed_MF[nearest_M == k].mean(0) for k in range(len(prototypes_AF))]
        prototypes_AF = torch.stack(
            [mean if bool(mean.isfinite().all()) else old for mean, old in zip(means, prototypes_AF, strict=True)]
        )
    return prototypes_AF


def soft_names(observed_MF: torch.Tensor, prototypes_AF: torch.Tensor) -> torch.Tensor:
    """Share [M, A] of each name in each transition; rows sum to 1 (step 3)."""
    distances_MA = _distances(observed_MF, prototypes_AF)
    behind_MA = distances_MA - distances_MA.amin(1, keepdim=True)
    return (-SHARPNESS * behind_MA / behind_MA.amax(1).mean().clamp_min(1e-9)).softmax(1)


def explained(names_M: torch.Tensor, observed_MF: torch.Tensor) -> float:
    """Share of the variance of the observed effects that names explain by themselves, whatever the context.

    This is the figure that needs no label: a code whose meaning depends on what came before has a mean effect near
    that of all others. Names should come from the encoder, which sees the frames and not these effects.
    """
    total = float((observed_MF - observed_MF.mean(0)).square().sum())
    groups = [observed_MF[names_M == name] for name in names_M.unique()]
    within = sum(float((group - group.mean(0)).square().sum()) for group in groups)
    return 1 - within / max(total, 1e-9)


def assign_codes(drawn_MAF: torch.Tensor, prototypes_AF: torch.Tensor) -> torch.Tensor:
    """For each transition the code [M, A] that stands for each prototype, one to one."""
    return _assign(drawn_MAF, prototypes_AF)[0]


def nearest(observed_MF: torch.Tensor, prototypes_AF: torch.Tensor) -> torch.Tensor:
    """The prototype [M] nearest to each observed effect."""
    return _distances(observed_MF, prototypes_AF).argmin(1)


def _assign(drawn_MAF: torch.Tensor, prototypes_AF: torch.Tensor) -> tuple[torch.Tensor, float]:
    """As :func:`assign_codes`, and the mean cost."""
    costs_MKA = torch.cdist(prototypes_AF.expand(len(drawn_MAF), -1, -1), drawn_MAF).square().numpy()
    orders = np.stack([linear_sum_assignment(costs_KA)[1] for costs_KA in costs_MKA])
    order_MA = torch.from_numpy(orders)
    return order_MA, float(np.take_along_axis(costs_MKA, orders[:, :, None], 2).sum((1, 2)).mean())


def _distances(observed_MF: torch.Tensor, prototypes_AF: torch.Tensor) -> torch.Tensor:
    return torch.cdist(observed_MF, prototypes_AF).square()
