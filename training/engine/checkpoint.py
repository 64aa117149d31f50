"""Where a training stands: weights, averages, moments, what the task remembers, the step; all that a resume needs.

Owns the checkpoint's format; knows nothing of losses, batches or schedules. Nothing that is not finite is ever saved.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genie_env.files.errors import FileError
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
from training.engine.stamp import Change, Stamp, changes, describe


class NotFiniteError(ValueError):
    """A loss, a gradient or a weight is NaN or infinite."""


class TrainingState:
    """A model under training.

    Attributes:
        model: what is trained.
        average: exponential moving average of its weights, which is what a stage delivers.
        optimizers: each with the moments of its own parameters; the opponent's is the last.
        stamp: the settings that a checkpoint must share to be resumed.
        step: updates so far.
        precision: in which losses are computed.
        opponent: network that learns against the model, if there is one.
        memory: what the task remembers of the run, if it does.
        usual: settings where nothing is chosen; a checkpoint may lack them.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        stamp: Stamp,
        precision: str = "float32",
        opponent: nn.Module | None = None,
        memory: nn.Module | None = None,
        usual: Stamp | None = None,
    ) -> None:
        self.model, self.optimizers, self.stamp, self.precision = model, optimizers, stamp, precision
        self.opponent, self.memory, self.usual = opponent, memory, usual
        self.step = 0
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
        """Write a checkpoint, whole or not at all.

        Raises:
            NotFiniteError: if a value is not finite; an earlier checkpoint stays.
        """
        tensors = dict(self._tensors())
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise NotFiniteError(f"{name} is not finite")
        metadata = {"step": str(self.step), "precision": self.precision, "stamp": json.dumps(self.stamp)}
        write_tensors(path, tensors, metadata)

    def load(self, path: Path, may_change: frozenset[str] = frozenset()) -> list[Change]:
        """Go on from a checkpoint.

        Args:
            path: of the checkpoint.
            may_change: settings that may be others than those of the checkpoint.

        Returns:
            those of ``may_change`` that are others.

        Raises:
            ValueError: if the checkpoint was made with other settings, is damaged, or does not fit; names the file.
        """
        metadata = _Metadata(path)
        found = changes(metadata.stamp, self.stamp, self.usual)
        refused = [change for change in found if change.name not in may_change]
        if refused:
            raise ValueError(f"{path}: was made with {describe(refused)}; use another --out or remove the old one")
        tensors = read_tensors(path)
        for name, network in self._networks().items():
            fill_weights(network, under(tensors, f"{name}."), path)
        for which, optimizer in enumerate(self.optimizers):
            fill_moments(optimizer, under(tensors, f"optimizer.{which}."), path)
        self.step, self.precision = metadata.step, metadata.precision
        return found

    def _networks(self) -> dict[str, nn.Module]:
        others = {"opponent": self.opponent, "memory": self.memory}
        return {"model": self.model, "average": self.average} | {k: v for k, v in others.items() if v is not None}

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, network in self._networks().items():
            yield from ((f"{name}.{k}", v) for k, v in weights_of(network).items())
        for which, optimizer in enumerate(self.optimizers):
            yield from ((f"optimizer.{which}.{k}", v) for k, v in moments_of(optimizer).items())


class _Metadata:
    """What a checkpoint says about itself."""

    def __init__(self, path: Path) -> None:
        found: Mapping[str, str] = read_metadata(path)
        try:
            self.step, self.precision = int(found["step"]), found["precision"]
            self.stamp: dict[str, Any] = json.loads(found["stamp"])
            if self.step < 0 or self.precision not in ("float32", "bfloat16") or not isinstance(self.stamp, dict):
                raise ValueError
        except (KeyError, ValueError, RecursionError):
            raise FileError(path, "expected a checkpoint of training; use another --out or remove it") from None
