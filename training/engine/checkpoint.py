"""Where a training stands: weights, averaged weights, optimiser moments and the step; all that a resume needs.

Owns the checkpoint's format; knows nothing of losses, batches or schedules.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn


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
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for which, optimizer in enumerate(self.optimizers):
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{which}.{index}.{k}": v for k, v in moments.items()}
        temporary = path.with_suffix(".tmp")
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            temporary,
            metadata={"step": str(self.step), "stamp": self.stamp},
        )
        temporary.rename(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: if it was made with other settings.
        """
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        if metadata["stamp"] != self.stamp:
            raise ValueError(
                f"{path}: was made with {metadata['stamp']}, this run has {self.stamp}; use another --out or remove it"
            )
        self.model.load_state_dict(_under(tensors, "model."))
        self.average.load_state_dict(_under(tensors, "average."))
        for which, optimizer in enumerate(self.optimizers):
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in _under(tensors, f"optimizer.{which}.").items():
                index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        self.step = int(metadata["step"])


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
