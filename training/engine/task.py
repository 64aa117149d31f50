"""What a stage brings to the training loop."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn


class Task(Protocol):
    """What is learned. A task may also have an attribute ``opponent``, see :class:`Opponent`."""

    @property
    def model(self) -> nn.Module:
        """What learns. It may have a method ``hidden_matrices`` that lists the parameters meant for Muon."""
        ...

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Loss of one batch, and figures (numbers or scalar tensors) to log. Random only through the arguments.

        A figure called ``count`` is not logged: it is what the loss was divided by, and the weight that the batch
        gets among others (1 where there is none).
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
