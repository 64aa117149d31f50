"""What a stage brings to the training loop."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn


class Task(Protocol):
    """What is learned. A task may also have attributes ``opponent`` and ``memory``: :class:`Opponent`,
    :class:`Memory`.
    """

    @property
    def model(self) -> nn.Module:
        """What learns. It may have a method ``hidden_matrices`` that lists the parameters meant for Muon."""
        ...

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Loss of one batch, and figures (numbers or scalar tensors) to log. Random only through the arguments.

        A figure called ``count`` is not logged: it is what the loss was divided by, and the weight that the batch
        gets among others (1 where there is none). Nor is ``noted``: it is what the task's memory learns from.
        """
        ...

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Figures and pictures (uint8 [H, W, 3]) of the averaged model on held-out episodes."""
        ...


class Opponent(NamedTuple):
    """A network that learns against the model, from the same batches and at once with it, and is not delivered.

    The task's loss is then the sum of both losses. The task sees to it that each reaches one network only. An update
    in which the opponent has no gradient leaves it as it is.
    """

    network: nn.Module
    learning_rate: float
    """Peak learning rate of its AdamW; it moves as the model's does."""


def opponent_of(task: Task) -> Opponent | None:
    """The opponent of the task's model, where it has one."""
    return getattr(task, "opponent", None)


class Memory(nn.Module):
    """What a task remembers of its run beside weights: buffers on the CPU, which are part of the checkpoint.

    While losses are computed it stays as it is; their figures hold what it may learn from, ``noted``, a float64 tensor
    of one shape in all batches. It learns after the update, and only if that was finite, the same in every process.
    """

    def learn(self, noted: torch.Tensor) -> None:
        """Learn from what all parts of a batch noted, float64 [parts, ...]."""
        raise NotImplementedError


def memory_of(task: Task) -> Memory | None:
    """What the task remembers, if it does."""
    return getattr(task, "memory", None)
