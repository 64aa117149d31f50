"""From a few labelled transitions to a map between a game's real actions and a world's latent ones.

Genie (arXiv 2402.15391) needed 200 labelled transitions. Real actions with the same effect share their labels. A
latent action that goes with several effects is told apart by the picture: p(real action | latent action, features), or
by the real action before: a model that learned without labels may call "up" what after "up" another code calls so.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from genie_env.config import ActionMapConfig
from genie_env.frames import to_gray

PURE = 0.8
"""A latent action of lower purity is told apart by features of the picture."""
FEATURE_SIDE = 8
ALIKE = 0.3
"""Real actions whose latent actions are distributed closer than this (total variation) have one effect."""
FOLDS = 5


def fit_action_map(
    latent_M: np.ndarray,
    real_M: np.ndarray,
    effects: tuple[int, ...],
    num_latent: int,
    frames_MHWC: np.ndarray | None = None,
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
        frames_MHWC: frame before each transition, uint8; without them no features are used.
        before_M: real action of the transition before each, -1 where there was none; without it no map goes by it.

    Raises:
        ValueError: if the arrays differ in length or are empty.
    """
    columns = [column for column in (latent_M, real_M, frames_MHWC, before_M) if column is not None]
    if len({len(column) for column in columns}) != 1 or not len(latent_M):
        raise ValueError(
            f"expected as many latent as real actions (and frames), at least one; got {[len(c) for c in columns]}"
        )
    found = [_measured(_Labels(latent_M, real_M), effects, num_latent)]
    if len(latent_M) < 2 or min(found[0].purity) >= PURE:
        return found[0]
    if frames_MHWC is not None:
        seeing = _Labels(latent_M, real_M, features_MF=frame_features(frames_MHWC))
        found.append(_measured(seeing, effects, num_latent))
    if before_M is not None:
        found.append(_measured(_Labels(latent_M, real_M, before_M=before_M), effects, num_latent))
    # The simplest of the best: where the picture does not tell either (a paddle at a wall), labels only teach to guess.
    return max(found, key=lambda mapped: mapped.agreement or 0)


def to_real(
    mapped: ActionMapConfig,
    latent_M: np.ndarray,
    features_MF: np.ndarray | None = None,
    before_M: np.ndarray | None = None,
) -> np.ndarray:
    """Real action for each latent one, told apart where that is needed and what tells is given.

    Args:
        mapped: the map.
        latent_M: latent actions.
        features_MF: :func:`frame_features` of the frames before.
        before_M: real actions played before, -1 where there was none.
    """
    real_M = np.array(mapped.latent_to_real)[latent_M]
    if before_M is not None and mapped.latent_to_real_after:
        after_RA = np.array(mapped.latent_to_real_after)
        real_M = np.where(before_M >= 0, after_RA[before_M, latent_M], real_M)
    if features_MF is None:
        return real_M
    for code, weights in mapped.by_features.items():
        here_M = latent_M == int(code)
        real_M[here_M] = (_with_one(features_MF[here_M]) @ np.array(weights).T).argmax(1)
    return real_M


def real_action(mapped: ActionMapConfig | None, action: int, before: int) -> int:
    """The real action that one latent ``action`` is after the real one ``before`` (-1: none); itself without a map."""
    if mapped is None:
        return action
    return int(to_real(mapped, np.array([action]), before_M=np.array([before]))[0])


def latent_tables(mapped: ActionMapConfig) -> np.ndarray:
    """Latent action [R + 1, R] for each real action played before and now; the last row, -1, is for a beginning."""
    rows = mapped.real_to_latent_after or (mapped.real_to_latent,) * len(mapped.real_to_latent)
    return np.array([*rows, mapped.real_to_latent])


def frame_features(frames_MHWC: np.ndarray) -> np.ndarray:
    """A coarse grey picture of each frame uint8 [M, H, W, 3]: float [M, 64] in [0, 1]."""
    grey_MHW = to_gray(frames_MHWC)[..., 0] / 255.0
    high, wide = (edge // FEATURE_SIDE for edge in grey_MHW.shape[1:])
    whole_MHW = grey_MHW[:, : high * FEATURE_SIDE, : wide * FEATURE_SIDE]
    blocks = whole_MHW.reshape(len(grey_MHW), FEATURE_SIDE, high, FEATURE_SIDE, wide)
    return blocks.mean((2, 4)).reshape(len(grey_MHW), -1)


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
    features_MF: np.ndarray | None = None
    before_M: np.ndarray | None = None

    def where(self, chosen_M: np.ndarray) -> _Labels:
        """Those that are chosen."""
        return _Labels(*(None if column is None else column[chosen_M] for column in self))


def _measured(labels: _Labels, effects: tuple[int, ...], num_latent: int) -> ActionMapConfig:
    """The map fitted on all labels, with its agreement on those left out in turn."""
    count, effect_of, hits = len(labels.latent_M), np.asarray(effects), 0
    fitted = _fit(labels, effect_of, num_latent)
    if count < 2:
        return fitted
    folds_M = np.arange(count) % FOLDS
    for fold in range(min(FOLDS, count)):
        part, out = _fit(labels.where(folds_M != fold), effect_of, num_latent), labels.where(folds_M == fold)
        said_M = to_real(part, out.latent_M, out.features_MF, out.before_M)
        hits += int((effect_of[said_M] == effect_of[out.real_M]).sum())
    return dataclasses.replace(fitted, agreement=round(hits / count, 4))


def _fit(labels: _Labels, effect_of: np.ndarray, num_latent: int) -> ActionMapConfig:
    latent_M, real_M, features_MF, _ = labels
    counts_EA = np.zeros((effect_of.max() + 1, num_latent))
    np.add.at(counts_EA, (effect_of[real_M], latent_M), 1)
    best_effect_A, best_latent_E = counts_EA.argmax(0), counts_EA.argmax(1)
    purity_A = counts_EA.max(0) / counts_EA.sum(0).clip(1)
    first_real_E = _first_real(effect_of)
    by_features = {}
    for code in np.flatnonzero((purity_A < PURE) & (counts_EA.sum(0) > 0)):
        if features_MF is None:
            break
        here_M = latent_M == code
        weights_EF = _softmax_regression(features_MF[here_M], effect_of[real_M[here_M]], len(counts_EA))
        # Stored for real actions; those that are not the first of their effect are never named.
        weights_RF = np.zeros((len(effect_of), weights_EF.shape[1]))
        weights_RF[:, -1] = -1e3
        weights_RF[first_real_E] = weights_EF
        by_features[str(code)] = tuple(tuple(round(float(w), 4) for w in row) for row in weights_RF)
    plain = ActionMapConfig(
        real_to_latent=tuple(int(best_latent_E[e]) for e in effect_of),
        latent_to_real=tuple(first_real_E[best_effect_A].tolist()),
        purity=tuple(round(float(p), 4) for p in purity_A),
        num_labels=len(latent_M),
        coverage=round(float(np.mean(best_effect_A[best_latent_E] == np.arange(len(counts_EA)))), 4),
        by_features=by_features,
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


def _softmax_regression(
    features_MF: np.ndarray, classes_M: np.ndarray, num_classes: int, decay: float = 1e-3
) -> np.ndarray:
    """Weights [classes, F + 1] of a linear classifier, by gradient descent on standardised features."""
    middle_F, scale_F = features_MF.mean(0), features_MF.std(0) + 1e-3
    inputs_MF = _with_one((features_MF - middle_F) / scale_F)
    wanted_MC = np.eye(num_classes)[classes_M]
    weights_CF = np.zeros((num_classes, inputs_MF.shape[1]))
    step = 1.0 / max(1.0, float(np.square(inputs_MF).sum(1).mean()) / 2)
    for _ in range(500):
        logits_MC = inputs_MF @ weights_CF.T
        chances_MC = np.exp(logits_MC - logits_MC.max(1, keepdims=True))
        chances_MC /= chances_MC.sum(1, keepdims=True)
        weights_CF -= step * ((chances_MC - wanted_MC).T @ inputs_MF / len(inputs_MF) + decay * weights_CF)
    # A class that never occurred here is not to be named because its weights are zero.
    weights_CF[~wanted_MC.any(0), -1] = -1e3
    plain_CF = weights_CF[:, :-1] / scale_F
    return np.concatenate([plain_CF, weights_CF[:, -1:] - plain_CF @ middle_F[:, None]], axis=1)


def _with_one(features_MF: np.ndarray) -> np.ndarray:
    return np.concatenate([features_MF, np.ones((len(features_MF), 1))], axis=1)


def _variation(counts_A: np.ndarray, others_A: np.ndarray) -> float:
    return float(np.abs(counts_A / counts_A.sum() - others_A / others_A.sum()).sum() / 2)
