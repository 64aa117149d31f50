"""Where a training stands: weights, averaged weights, optimiser moments and the step; all that a resume needs.

Owns the checkpoint's format; knows nothing of losses, batches or schedules.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from genie_env.files.tensors import (
    fill_moments,
    fill_weights,
    moments_of,
    read_metadata,
    read_tensors,
    under,
    weights_of,
    write_tensors,
)


class TrainingState:
    """A model under training.

    Attributes:
        model: what is trained.
        average: exponential moving average of its weights, which is what a stage delivers.
        optimizers: each with the moments of its own parameters.
        stamp: the settings that a checkpoint must share to be resumed.
        step: updates so far.
    """

    def __init__(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], stamp: str) -> None:
        self.model, self.optimizers, self.stamp, self.step = model, optimizers, stamp, 0
        self.average = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the weights."""
        # Early on the average follows closely; otherwise it would remember the random start.
        decay = min(decay, (1 + self.step) / (10 + self.step))
        averages: list[torch.Tensor] = [*self.average.parameters()]
        weights: list[torch.Tensor] = [*self.model.parameters()]
        torch._foreach_lerp_(averages, weights, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for kept, fresh in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(fresh)

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        tensors = {f"model.{k}": v for k, v in weights_of(self.model).items()}
        tensors |= {f"average.{k}": v for k, v in weights_of(self.average).items()}
        for which, optimizer in enumerate(self.optimizers):
            tensors |= {f"optimizer.{which}.{k}": v for k, v in moments_of(optimizer).items()}
        write_tensors(path, tensors, {"step": str(self.step), "stamp": self.stamp})

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: if it was made with other settings, is damaged, or does not fit; names the file.
        """
        metadata, tensors = read_metadata(path), read_tensors(path)
        if metadata.get("stamp") != self.stamp:
            raise ValueError(
                f"{path}: was made with {metadata.get('stamp')}, this run has {self.stamp}; "
                "use another --out or remove it"
            )
        fill_weights(self.model, under(tensors, "model."), path)
        fill_weights(self.average, under(tensors, "average."), path)
        for which, optimizer in enumerate(self.optimizers):
            fill_moments(optimizer, under(tensors, f"optimizer.{which}."), path)
        self.step = int(metadata["step"])
