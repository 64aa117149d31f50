"""How many codes there are: those that draw the same become one.

A model that begins with more codes than there are effects learns the same drawing under several of them, or under
codes that nobody uses. Prototypes of effects (:mod:`.alignment`) are merged step by step, the two first that explain
hardly less together (Ward 1963). For each number of codes that remains the drawings say what it is worth: by how many
dB the best of so many draws the next frame better than one drawing for all. The fewest codes are kept after which
more are worth less than :data:`WORTH`. Knows no labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset
from training.latent_action.alignment import assign_codes
from training.latent_action.effects import effects
from training.latent_action.pictures import moving_weights

WORTH = 1.0
"""Decibels that all further codes together must be worth to be kept."""
LEAST = 2.0
"""Decibels that all codes together must be worth, or their number cannot be told and all are kept."""
CHUNK = 256

Groups = tuple[tuple[int, ...], ...]
"""Prototypes that are one, by their numbers."""


class Merged(NamedTuple):
    """Prototypes of which some are one, and why."""

    groups: Groups
    prototypes_KF: torch.Tensor
    worth: dict[int, float]
    """Decibels by which the best of so many codes draws moving pixels better than one drawing for all."""


def merge(
    model: LatentActionModel, held_out: FrameDataset, indices_M: np.ndarray, view: str, prototypes_AF: torch.Tensor,
    counts_A: torch.Tensor,
) -> Merged:  # fmt: skip
    """Merge prototypes until fewer would draw worse.

    Args:
        model: whose codes the prototypes are of.
        held_out: transitions by which numbers of codes are compared; no action is read.
        indices_M: which of them.
        view: of the effects.
        prototypes_AF: one for each code.
        counts_A: transitions of each.
    """
    steps = merge_steps(prototypes_AF, counts_A)
    worth = _worth(model, held_out, indices_M, view, prototypes_AF, counts_A, steps)
    groups = steps[len(prototypes_AF) - fewest(worth)]
    return Merged(groups, _means(prototypes_AF, counts_A, groups), worth)


def merge_steps(prototypes_AF: torch.Tensor, counts_A: torch.Tensor) -> list[Groups]:
    """Groups of prototypes, from each alone to all in one; each step merges the two that cost least.

    Merging i and j costs n_i n_j / (n_i + n_j) ||c_i - c_j||², by which the names explain less.
    """
    groups: Groups = tuple((code,) for code in range(len(prototypes_AF)))
    steps: list[Groups] = [groups]
    while len(groups) > 1:
        means_KF, sizes_K = _means(prototypes_AF, counts_A, groups), _sizes(counts_A, groups)
        shared_KK = sizes_K[:, None] * sizes_K / (sizes_K[:, None] + sizes_K)
        costs_KK = shared_KK * torch.cdist(means_KF, means_KF).square()
        costs_KK[torch.ones_like(costs_KK).triu().bool()] = torch.inf
        late, early = divmod(int(costs_KK.argmin()), len(groups))
        joined = groups[early] + groups[late]
        groups = tuple(joined if k == early else group for k, group in enumerate(groups) if k != late)
        steps.append(groups)
    return steps


def fewest(worth: dict[int, float]) -> int:
    """The least number of codes, at least two, that is worth almost what the most is; all where none is worth much."""
    if max(worth.values()) < LEAST:
        return max(worth)
    return min(number for number, value in worth.items() if number >= 2 and value >= max(worth.values()) - WORTH)


@torch.no_grad()
def _worth(
    model: LatentActionModel, data: FrameDataset, indices_M: np.ndarray, view: str, prototypes_AF: torch.Tensor,
    counts_A: torch.Tensor, steps: Sequence[Groups],
) -> dict[int, float]:  # fmt: skip
    errors = {len(groups): 0.0 for groups in steps}
    for start in range(0, len(indices_M), CHUNK):
        batch = data.at(indices_M[start : start + CHUNK], model.config.context_frames)
        frames = model.see(batch.frames_BTHWC)
        drawn_BACHW = model.predict_each(frames[:, :-1]).cpu()
        before, after = frames[:, -2].cpu(), frames[:, -1].cpu()
        order_BA = assign_codes(effects(drawn_BACHW, after, view).drawn_MAF, prototypes_AF)
        drawn_BACHW = torch.take_along_dim(drawn_BACHW, order_BA[:, :, None, None, None], 1)
        weights = moving_weights(before, after)
        for groups in steps:
            merged_BKCHW = _means(drawn_BACHW.transpose(0, 1), counts_A, groups).transpose(0, 1)
            errors_BK = (weights[:, None] * (merged_BKCHW - after[:, None]).square()).sum((2, 3, 4))
            errors[len(groups)] += float(errors_BK.amin(1).sum())
    return {number: 10 * float(np.log10(errors[1] / max(error, 1e-12))) for number, error in errors.items()}


def _sizes(counts_A: torch.Tensor, groups: Groups) -> torch.Tensor:
    # A code that nobody uses weighs next to nothing, but not nothing at all.
    return torch.stack([counts_A[list(group)].float().sum() + 1e-3 * len(group) for group in groups])


def _means(values_A: torch.Tensor, counts_A: torch.Tensor, groups: Groups) -> torch.Tensor:
    """Means over groups, of whatever there is for each prototype along the first axis, weighted by transitions."""
    found = []
    for group in groups:
        weights = counts_A[list(group)].float() + 1e-3
        found.append(torch.tensordot(weights / weights.sum(), values_A[list(group)], 1))
    return torch.stack(found)
