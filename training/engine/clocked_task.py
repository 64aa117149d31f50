"""How long an update takes: a task whose losses are timed, and the mean over a training in miniature."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.engine.loop import fit
from training.engine.loop_config import LoopConfig
from training.engine.task import Task, memory_of, opponent_of


class ClockedTask:
    """A task that notes when its loss begins and ends. It has nothing to evaluate."""

    def __init__(self, task: Task, first_step: int = 0, clock: Callable[[], float] = time.perf_counter) -> None:
        self.model: nn.Module = task.model
        self.begins: list[float] = []
        self.ends: list[float] = []
        self.opponent, self.memory = opponent_of(task), memory_of(task)
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


def seconds_per_update(task: Task, loop: LoopConfig) -> float:
    """Processor seconds of an update: the mean over a training of ``loop.n_updates``, whose first ones warm up.

    On a GPU the process waits for results while it computes, so that its own time still tells.

    Args:
        task: what is learned; it is changed by that.
        loop: how.
    """
    clocked = ClockedTask(task, clock=time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        fit(clocked, replace(loop, warmup=1), Path(folder), "cost of an update")
    # An update ends where the next begins.
    return float(np.diff(clocked.begins[2:]).mean())
