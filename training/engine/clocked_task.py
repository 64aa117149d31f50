"""A task whose losses are timed, for measurements of how long an update takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from training.engine.task import Task, opponent_of


class ClockedTask:
    """A task that notes when its loss begins and ends. It has nothing to evaluate."""

    def __init__(self, task: Task, first_step: int = 0, clock: Callable[[], float] = time.perf_counter) -> None:
        self.model: nn.Module = task.model
        self.begins: list[float] = []
        self.ends: list[float] = []
        self.opponent = opponent_of(task)
        self._task, self._first_step, self._clock = task, first_step, clock

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """The task's loss, as at a later step."""
        self.begins.append(self._now())
        result = self._task.loss(self._first_step + step, rng, generator)
        self.ends.append(self._now())
        return result

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Nothing."""
        return {}, {}

    def _now(self) -> float:
        if next(self.model.parameters()).is_cuda:
            torch.cuda.synchronize()
        return self._clock()
