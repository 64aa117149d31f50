"""Other versions of a world's dynamics, to compare it with: part of its context hidden, other statistics or weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from genie_env.files.errors import FileError
from genie_env.files.tensors import fill_weights, read_tensors, under
from genie_env.models.dynamics import Dynamics
from training.engine.loop import CHECKPOINT


class HiddenContext:
    """A dynamics whose trunk sees the mask token instead of a random share of the context's tokens."""

    def __init__(self, model: Dynamics, share: float, seed: int) -> None:
        self._model, self._share = model, share
        self._generator = torch.Generator().manual_seed(seed)

    def __getattr__(self, name: str) -> Any:
        """Return what the dynamics has under this name."""
        return getattr(self._model, name)

    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        """See ``Dynamics.trunk``."""
        hidden = torch.rand(tokens_BTN.shape, generator=self._generator).to(tokens_BTN.device) < self._share
        return self._model.trunk(torch.where(hidden, self._model.mask_token, tokens_BTN), actions_BT)


def with_batch_statistics(model: Dynamics) -> Dynamics | None:
    """A copy that normalises by the batch at hand, or None where no layer keeps running statistics."""
    model = copy.deepcopy(model)
    layers = [layer for layer in model.modules() if getattr(layer, "running_mean", None) is not None]
    for layer in layers:
        layer.train()
    return model if layers else None


def from_checkpoint(model: Dynamics, folder: Path, kind: str) -> Dynamics:
    """A copy with the weights of a stage's checkpoint.

    Args:
        model: the network they belong to.
        folder: of the stage.
        kind: ``model`` for the raw weights, ``average`` for the averaged ones.

    Raises:
        FileError: if there is no checkpoint, or it belongs to another network.
    """
    path, model = folder / CHECKPOINT, copy.deepcopy(model)
    if not path.exists():
        raise FileError(path, "missing; expected a checkpoint of training.train_dynamics")
    fill_weights(model, under(read_tensors(path), f"{kind}."), path)
    return model.eval()
