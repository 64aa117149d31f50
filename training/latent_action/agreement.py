"""How well latent actions agree with real ones. Works on arrays of labels; knows no models."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def contingency(codes_M: np.ndarray, effects_M: np.ndarray) -> np.ndarray:
    """Counts [num codes, num effects] of their joint occurrences."""
    table = np.zeros((int(codes_M.max()) + 1, int(effects_M.max()) + 1))
    np.add.at(table, (codes_M, effects_M), 1)
    return table


def hungarian_accuracy(codes_M: np.ndarray, effects_M: np.ndarray) -> float:
    """Share of transitions explained by the best one-to-one assignment of codes to effects."""
    table = contingency(codes_M, effects_M)
    return matched(table) / float(table.sum())


def matched(table_AE: np.ndarray) -> float:
    """Most transitions of a contingency table that one one-to-one assignment of codes to effects explains."""
    return float(table_AE[linear_sum_assignment(table_AE, maximize=True)].sum())


def accuracy_after(codes_M: np.ndarray, effects_M: np.ndarray, before_M: np.ndarray) -> float:
    """Share explained where the assignment may differ by what came before: codes may tell how the action changed."""
    groups = [before_M == before for before in np.unique(before_M)]
    return float(sum(hungarian_accuracy(codes_M[g], effects_M[g]) * g.sum() for g in groups) / len(codes_M))


def normalised_mutual_information(codes_M: np.ndarray, effects_M: np.ndarray) -> float:
    """Mutual information over the mean of the two entropies: 0 unrelated, 1 the same partition."""
    return table_nmi(contingency(codes_M, effects_M))


def table_nmi(table_AE: np.ndarray) -> float:
    """Normalised mutual information of a contingency table."""
    joint = table_AE / table_AE.sum()
    outer = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    information = (joint[seen] * np.log(joint[seen] / outer[seen])).sum()
    entropies = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in (joint.sum(0), joint.sum(1))]
    return float(information / np.mean(entropies)) if sum(entropies) > 0 else 0.0
