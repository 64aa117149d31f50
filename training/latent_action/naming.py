"""From a latent action model whose codes mean something else in each context to one whose codes mean the same.

Owns the second part of the training: name the transitions that tell codes apart by their effects (:mod:`.alignment`),
and let a new encoder and decoder learn the names. New, because the model that draws the effects has learned its own
meanings everywhere: at a wall, where hardly anything tells codes apart, it would keep them. Where effects are too much
alike for that, all transitions are named, and the model itself goes on. Labels, where there are some, say which name is
which effect and are learned beside the names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from genie_env.files.atomic import write_json
from genie_env.files.json_config import JsonConfig
from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset
from training.engine.loop import LoopConfig, fit
from training.engine.optimization import seeded
from training.latent_action.alignment import (
    explained,
    nearest,
    observed_means,
    permuted_means,
    soft_names,
)
from training.latent_action.effects import VIEWS, Effects, effects
from training.latent_action.merging import LEAST, merge
from training.latent_action.named_task import Labels, NamedTask, Names

CHUNK = 256
ALIGNED, NAMED, HELD_OUT = 6000, 40_000, 4000
"""Transitions that give the prototypes, transitions that are named, and held-out ones by which models are compared."""

BLURRED = 0.62
"""Cost of the prototypes above which the codes' effects do not fall apart, and names by them would be worse."""

DISTINCT = 0.45
"""Cost up to which prototypes are so distinct that a few names say enough to a new model. Beyond it names are wrong so
often that all are needed, and what the model knows already."""
CLEAR = 0.65
"""Share of the transitions that are named where prototypes are distinct: those in which codes' drawings differ most."""

NAMED_FOLDER = "named"
"""Folder of the training of names."""
NUMBER = "num_actions.json"
"""File that says how many codes were kept, and what each number of them is worth."""

T = TypeVar("T", bound=tuple)


class View(NamedTuple):
    """One way to look at effects, with the prototypes found in it."""

    name: str
    prototypes_AF: torch.Tensor
    cost: float


@dataclass(frozen=True)
class NamingSettings(JsonConfig):
    """What decides which names are learned, beside the loop."""

    learned: Path
    """Folder of the model without names."""
    data: Path
    labels: Path | None
    label_fraction: float
    merges: bool
    """Whether codes that draw the same become one."""


def align(
    model: LatentActionModel,
    data: FrameDataset,
    held_out: FrameDataset,
    labels: Labels | None,
    loop: LoopConfig,
    folder: Path,
    settings: NamingSettings,
) -> LatentActionModel:
    """Name transitions and learn the names.

    Args:
        model: learned without names.
        data: transitions to learn from.
        held_out: transitions by which models are compared; no action is read.
        labels: transitions whose effect is known.
        loop: how long and how fast to train.
        folder: for the checkpoint.
        settings: what a checkpoint must share.

    Returns:
        The model that has learned the names, or ``model`` where names explain no more of the effects on held-out play;
        always the former where there are labels or codes were merged.
    """
    view = choose_view(model, data, loop.seed)
    indices = np.random.default_rng([loop.seed, 3]).integers(len(held_out), size=min(HELD_OUT, len(held_out)))
    # Both are compared by effects that the one without names sees, not by those that each of them draws.
    reference_MF = drawn_effects(model, held_out, indices, view.name).observed_MF
    before = explained(encoder_codes(model, held_out, indices), reference_MF)
    print(
        f"alignment: cost of the prototypes {view.cost:.3f} ({view.name}); "
        f"as learned, codes explain {before:.3f} of the effects",
        flush=True,
    )
    if view.cost > BLURRED and labels is None:
        kept = f" All {model.config.num_actions} codes are kept." if settings.merges else ""
        print(f"alignment: left out; expected a cost of at most {BLURRED}. Train longer.{kept}", flush=True)
        return model
    if settings.merges:
        view = merge_codes(model, data, held_out, indices, view, loop.seed, folder)
    fewer = len(view.prototypes_AF) < model.config.num_actions
    distinct = view.cost <= DISTINCT or fewer
    named = _names(model, data, view, labels, loop.seed, CLEAR if distinct else 1.0)
    with seeded(loop.seed):
        learner = LatentActionModel(replace(model.config, num_actions=len(view.prototypes_AF), prototypes=()))
        learner.to(model.device)
    if not distinct:
        learner.load_state_dict(model.state_dict())
    candidate = fit(NamedTask(learner, data, named, labels, loop), loop, folder / NAMED_FOLDER, "names", settings)
    assert isinstance(candidate, LatentActionModel)
    share = explained(encoder_codes(candidate, held_out, indices), reference_MF)
    print(f"alignment: with names, codes explain {share:.3f} ({before:.3f} before)", flush=True)
    return candidate if fewer or labels is not None or share > before else model


def choose_view(model: LatentActionModel, data: FrameDataset, seed: int) -> View:
    """The view in which the codes' effects fall apart best."""
    return min((look_at(model, data, name, seed) for name in VIEWS), key=lambda view: view.cost)


def look_at(model: LatentActionModel, data: FrameDataset, name: str, seed: int) -> View:
    """Prototypes of the codes' effects in one view."""
    indices = np.random.default_rng([seed, 1]).integers(len(data), size=min(ALIGNED, len(data)))
    seen = drawn_effects(model, data, indices, name)
    clusters = permuted_means(seen.drawn_MAF, seed)
    return View(name, observed_means(seen.observed_MF, clusters.prototypes_AF), clusters.cost)


def merge_codes(
    model: LatentActionModel,
    data: FrameDataset,
    held_out: FrameDataset,
    indices_M: np.ndarray,
    view: View,
    seed: int,
    folder: Path,
) -> View:
    """The view with one prototype for each effect; as it was where all codes differ.

    What each number of codes is worth is printed, and written to ``folder``.
    """
    picks = np.random.default_rng([seed, 1]).integers(len(data), size=min(ALIGNED, len(data)))
    seen = drawn_effects(model, data, picks, view.name)
    count = len(view.prototypes_AF)
    counts_A = torch.bincount(nearest(seen.observed_MF, view.prototypes_AF), minlength=count)
    merged = merge(model, held_out, indices_M, view.name, view.prototypes_AF, counts_A)
    worth = {str(number): round(value, 2) for number, value in sorted(merged.worth.items())}
    kept = len(merged.groups)
    shown = ", ".join(f"{number}: {value:g}" for number, value in worth.items())
    print(f"codes: {kept} of {count} are kept; dB that so many draw better than one: {shown}", flush=True)
    if max(merged.worth.values()) < LEAST:
        print(f"codes: their number cannot be told; expected to be worth {LEAST:g} dB. Train longer.", flush=True)
    write_json(folder / NUMBER, {"begun_with": count, "kept": kept, "worth_db": worth})
    if kept == count:
        return view
    return View(view.name, observed_means(seen.observed_MF, merged.prototypes_KF), view.cost)


def drawn_effects(model: LatentActionModel, data: FrameDataset, indices_M: np.ndarray, view: str) -> Effects:
    """Effects of the given transitions, as ``model`` draws them."""

    def look(frames_BTCHW: torch.Tensor) -> Effects:
        return effects(model.predict_each(frames_BTCHW[:, :-1]), frames_BTCHW[:, -1], view)

    return Effects(*_over(model, data, indices_M, look))


def encoder_codes(model: LatentActionModel, data: FrameDataset, indices_M: np.ndarray) -> torch.Tensor:
    """The code [M] that the encoder gives each transition."""
    return _over(model, data, indices_M, lambda frames: (model.logits(frames).argmax(-1),))[0]


@torch.no_grad()
def _over(
    model: LatentActionModel, data: FrameDataset, indices_M: np.ndarray, look: Callable[[torch.Tensor], T]
) -> tuple[torch.Tensor, ...]:
    found = []
    for start in range(0, len(indices_M), CHUNK):
        batch = data.at(indices_M[start : start + CHUNK], model.config.context_frames)
        found.append(tuple(column.cpu() for column in look(model.see(batch.frames_BTHWC))))
    return tuple(torch.cat(column) for column in zip(*found, strict=True))


def _names(
    model: LatentActionModel, data: FrameDataset, view: View, labels: Labels | None, seed: int, share: float
) -> Names:
    """Soft names of the ``share`` of the transitions that tell codes apart best, by what is observed in them.

    Labels say which name is which effect, and what names are worth.
    """
    prototypes_AF, trust = view.prototypes_AF, 1.0
    if labels is not None:
        observed_LF = drawn_effects(model, labels.data, labels.indices_L[:NAMED], view.name).observed_MF
        names_L = soft_names(observed_LF, prototypes_AF).argmax(1)
        order_A, trust = match_labels(names_L, labels.effects_L[:NAMED], len(prototypes_AF))
        prototypes_AF = prototypes_AF[order_A]
    indices_M = np.sort(np.random.default_rng([seed, 2]).permutation(len(data))[:NAMED])
    seen = drawn_effects(model, data, indices_M, view.name)
    clear_M = seen.apart_M >= seen.apart_M.quantile(1 - share)
    shares_MA, clear = soft_names(seen.observed_MF[clear_M], prototypes_AF), clear_M.numpy()
    return Names(trust, indices_M[clear], shares_MA, seen.place_M2[clear_M], indices_M[~clear])


def match_labels(names_L: torch.Tensor, effects_L: torch.Tensor, count: int) -> tuple[torch.Tensor, float]:
    """Which name [count] becomes each code, so that as many labels as possible have their own number.

    Also returns by how much that is better than always telling the most frequent effect: 0 not at all, 1 always right.
    """
    table_AA = np.zeros((count, count))
    np.add.at(table_AA, (names_L.numpy(), effects_L.numpy()), 1)
    names, numbers = linear_sum_assignment(table_AA, maximize=True)
    right, most = table_AA[names, numbers].sum() / table_AA.sum(), table_AA.sum(0).max() / table_AA.sum()
    return torch.from_numpy(names[np.argsort(numbers)]), float(max(0.0, (right - most) / max(1 - most, 1e-9)))
