"""A clocked task gives the losses of its task, as at later steps, and notes when."""

from __future__ import annotations

from itertools import count

import numpy as np
import torch
from torch import nn

from training.engine.clocked_task import ClockedTask


class Steps:
    """A task whose loss is the step."""

    def __init__(self) -> None:
        self.model = nn.Linear(1, 1)

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        return torch.tensor(float(step)), {"step": step}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        raise AssertionError("nothing is evaluated")


def test_losses_are_those_of_later_steps_and_times_are_in_order() -> None:
    ticks = count()
    clocked = ClockedTask(Steps(), first_step=7, clock=lambda: float(next(ticks)))
    rng, generator = np.random.default_rng(0), torch.Generator()
    assert [float(clocked.loss(step, rng, generator)[0]) for step in range(3)] == [7, 8, 9]
    assert clocked.begins == [0, 2, 4] and clocked.ends == [1, 3, 5]
    assert clocked.evaluate(clocked.model) == ({}, {})
