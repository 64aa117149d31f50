"""Fit the map between real and latent actions on a few labelled transitions.

Genie (arXiv 2402.15391) needed 200. Real actions with the same effect share their labels. A latent action that goes
with several effects is told apart by the real action before: a model that learned without labels may call "up" what
after "up" another code calls so.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from genie_env.action_map import to_real
from genie_env.config import ActionMapConfig

PURE = 0.8
"""A latent action of lower purity is told apart by the action before."""


ALIKE = 0.3
"""Real actions whose latent actions are distributed closer than this (total variation) have one effect."""


FOLDS = 5


def fit_action_map(
    latent_M: np.ndarray,
    real_M: np.ndarray,
    effects: tuple[int, ...],
    num_latent: int,
    before_M: np.ndarray | None = None,
) -> ActionMapConfig:
    """Fit the map on M transitions, and measure it on those left out in turn.

    Stepping with a real action takes the latent action that its effect makes most likely,
    argmax p(latent | effect); a latent action stands for the effect it most often goes with.

    Args:
        latent_M: inferred latent actions.
        real_M: real actions.
        effects: effect of each real action.
        num_latent: number of latent actions.
        before_M: real action of the transition before each, -1 where there was none; without it no map goes by it.

    Raises:
        ValueError: if the arrays differ in length or are empty.
    """
    columns = [column for column in (latent_M, real_M, before_M) if column is not None]
    if len({len(column) for column in columns}) != 1 or not len(latent_M):
        raise ValueError(f"expected as many latent as real actions, at least one; got {[len(c) for c in columns]}")
    found = [_measured(_Labels(latent_M, real_M), effects, num_latent)]
    if len(latent_M) < 2 or min(found[0].purity) >= PURE:
        return found[0]
    if before_M is not None:
        found.append(_measured(_Labels(latent_M, real_M, before_M=before_M), effects, num_latent))
    # The simplest of the best: where the picture does not tell either (a paddle at a wall), labels only teach to guess.
    return max(found, key=lambda mapped: mapped.agreement or 0)


def infer_effects(latent_M: np.ndarray, real_M: np.ndarray, num_real: int, num_latent: int) -> tuple[int, ...]:
    """Effect of each real action, where nothing is known of the game: actions followed by alike latent ones are one.

    An action joins the first of those before it whose distribution of latent actions is like its own; one that
    never occurs is an effect of its own.
    """
    counts_RA = np.zeros((num_real, num_latent))
    np.add.at(counts_RA, (real_M, latent_M), 1)
    effects: list[int] = []
    groups: list[np.ndarray] = []
    for counts_A in counts_RA:
        near = [
            index
            for index, group_A in enumerate(groups)
            if counts_A.any() and group_A.any() and _variation(counts_A, group_A) < ALIKE
        ]
        if near:
            groups[near[0]] = groups[near[0]] + counts_A
        else:
            groups.append(counts_A)
        effects.append(near[0] if near else len(groups) - 1)
    return tuple(effects)


class _Labels(NamedTuple):
    """M labelled transitions, with what may tell apart the effects of one latent action."""

    latent_M: np.ndarray
    real_M: np.ndarray
    before_M: np.ndarray | None = None

    def where(self, chosen_M: np.ndarray) -> _Labels:
        """Those that are chosen."""
        before_M = None if self.before_M is None else self.before_M[chosen_M]
        return _Labels(self.latent_M[chosen_M], self.real_M[chosen_M], before_M)


def _measured(labels: _Labels, effects: tuple[int, ...], num_latent: int) -> ActionMapConfig:
    """The map fitted on all labels, with its agreement on those left out in turn."""
    count, effect_of, hits = len(labels.latent_M), np.asarray(effects), 0
    fitted = _fit(labels, effect_of, num_latent)
    if count < 2:
        return fitted
    folds_M = np.arange(count) % FOLDS
    for fold in range(min(FOLDS, count)):
        part, out = _fit(labels.where(folds_M != fold), effect_of, num_latent), labels.where(folds_M == fold)
        said_M = to_real(part, out.latent_M, out.before_M)
        hits += int((effect_of[said_M] == effect_of[out.real_M]).sum())
    return dataclasses.replace(fitted, agreement=round(hits / count, 4))


def _fit(labels: _Labels, effect_of: np.ndarray, num_latent: int) -> ActionMapConfig:
    latent_M, real_M, _ = labels
    counts_EA = np.zeros((effect_of.max() + 1, num_latent))
    np.add.at(counts_EA, (effect_of[real_M], latent_M), 1)
    best_effect_A, best_latent_E = counts_EA.argmax(0), counts_EA.argmax(1)
    purity_A = counts_EA.max(0) / counts_EA.sum(0).clip(1)
    first_real_E = _first_real(effect_of)
    plain = ActionMapConfig(
        real_to_latent=tuple(int(best_latent_E[e]) for e in effect_of),
        latent_to_real=tuple(first_real_E[best_effect_A].tolist()),
        purity=tuple(round(float(p), 4) for p in purity_A),
        num_labels=len(latent_M),
        coverage=round(float(np.mean(best_effect_A[best_latent_E] == np.arange(len(counts_EA)))), 4),
    )
    return plain if labels.before_M is None else _told_by_before(plain, labels, effect_of, counts_EA)


def _told_by_before(
    plain: ActionMapConfig, labels: _Labels, effect_of: np.ndarray, counts_EA: np.ndarray
) -> ActionMapConfig:
    """The map with tables for each real action before; what was never seen after it falls back on ``counts_EA``."""
    known, num_effects = labels.where(labels.before_M >= 0), len(counts_EA)  # type: ignore[operator]
    counts_EEA = np.zeros((num_effects, *counts_EA.shape))
    np.add.at(counts_EEA, (effect_of[known.before_M], effect_of[known.real_M], known.latent_M), 1)
    # A hundredth of a label of the plain map decides only where there is none of its own.
    counts_EEA += 0.01 * counts_EA / max(1.0, counts_EA.sum())
    best_effect_EA, best_latent_EE = counts_EEA.argmax(1), counts_EEA.argmax(2)
    covered_EE = np.take_along_axis(best_effect_EA, best_latent_EE, 1) == np.arange(num_effects)
    first_real_E = _first_real(effect_of)
    return dataclasses.replace(
        plain,
        coverage=round(float(covered_EE.mean()), 4),
        real_to_latent_after=tuple(tuple(best_latent_EE[e][effect_of].tolist()) for e in effect_of),
        latent_to_real_after=tuple(tuple(first_real_E[best_effect_EA[e]].tolist()) for e in effect_of),
    )


def _first_real(effect_of: np.ndarray) -> np.ndarray:
    """The first real action [E] of each effect."""
    return np.array([np.flatnonzero(effect_of == effect)[0] for effect in range(effect_of.max() + 1)])


def _variation(counts_A: np.ndarray, others_A: np.ndarray) -> float:
    return float(np.abs(counts_A / counts_A.sum() - others_A / others_A.sum()).sum() / 2)
