"""The one training loop. Every stage hands it a task (training/engine/task.py); it knows nothing of what is learned.

Owns progress, interruption and what is kept. A step is a function of the weights, the optimiser state, what the task
remembers and (seed, step), so a run that is killed and resumed gives the same weights as one that was not.

A batch consists of parts, each a function of (seed, step, part): ``accumulate`` of them in each process, one after
another. Their gradients are averaged as if they were one batch, so that two processes with one part each learn what
one process with two parts learns. The first process evaluates, logs and writes checkpoints.

An update whose loss or gradient is not finite changes nothing: the run ends there, its last finite weights are kept,
and it may go on with another learning rate.
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from genie_env.command import Interrupted, StopRequest, on_stop_signal
from genie_env.files.atomic import write_json
from genie_env.files.json_config import JsonConfig
from training.engine.checkpoint import NotFiniteError, TrainingState
from training.engine.distributed import Processes, connect
from training.engine.logger import Logger
from training.engine.loop_config import LoopConfig
from training.engine.optimization import (
    autocast,
    compute_in,
    device_of,
    make_optimizers,
    opponent_optimizer,
    pick_precision,
    rate_at,
)
from training.engine.stamp import describe, stamp_of, usual_of
from training.engine.task import Task, memory_of, opponent_of
from training.engine.update_times import note_update

CHECKPOINT = "checkpoint.safetensors"
FAILURE = "failure.json"
"""Says that the run met a loss, gradient or weight that is not finite."""
RATES = frozenset({"learning_rate", "muon_rate"})
"""Settings that may be others after a failure."""
LOG_EVERY = 20


def fit(task: Task, config: LoopConfig, folder: Path, name: str, settings: JsonConfig | None = None) -> nn.Module:
    """Train ``task.model`` to ``config.n_updates`` steps and return the averaged model in eval mode.

    Resumes from ``folder/checkpoint.safetensors`` where there is one; all processes must see the folder.

    Args:
        task: what is learned.
        config: how long and how fast.
        folder: for checkpoint and logs.
        name: of the run, for messages.
        settings: all settings that decide what comes out, ``config`` among them; a checkpoint must share them.

    Raises:
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written.
        NotFiniteError: if a loss, gradient or weight is not finite; what was finite before is kept.
        ValueError: if the checkpoint belongs to other settings, or is further than ``n_updates``.
        ImportError: if there are several processes, but no accelerate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(task, config, folder, name, connect(), settings or config)
    run.resume()
    with on_stop_signal(run.stop.ask), run.logging() as logger, run.progress() as bar:
        try:
            while run.state.step < config.n_updates:
                figures = run.update()
                bar.update()
                run.report(figures, bar, logger)
                if run.is_first and (run.is_last or run.stop.agreed or run.state.step % config.checkpoint_every == 0):
                    run.keep()
                if run.stop.agreed and not run.is_last:
                    message = f"{name}: stopped at step {run.state.step}; run the same command to go on"
                    raise Interrupted(message, run.stop.signum or signal.SIGTERM)
        except NotFiniteError as error:
            raise run.failed(error) from None
    return run.state.average.eval()


class _Run:
    """One call of :func:`fit` in one process."""

    def __init__(
        self, task: Task, config: LoopConfig, folder: Path, name: str, group: Processes, settings: JsonConfig
    ) -> None:
        self.task, self.config, self.folder, self.name, self.group = task, config, folder, name, group
        parts = {"parts": config.accumulate * group.count}
        optimizers, opponent = make_optimizers(task.model, config), opponent_of(task)
        self.opponent = None if opponent is None else opponent.network
        if opponent is not None:
            optimizers.append(opponent_optimizer(opponent))
        stamp, usual = stamp_of(settings) | stamp_of(config) | parts, usual_of(settings) | usual_of(config)
        self.memory = memory_of(task)
        self.state = TrainingState(
            task.model, optimizers, stamp, opponent=self.opponent, memory=self.memory, usual=usual
        )
        self.device, self.stop = device_of(task.model), _Stop()

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.group.is_first

    @property
    def is_last(self) -> bool:
        """Whether no step is left."""
        return self.state.step == self.config.n_updates

    def resume(self) -> None:
        """Go on where the folder's checkpoint is, if there is one."""
        path, state, config = self.folder / CHECKPOINT, self.state, self.config
        state.precision = ""
        if path.exists():
            has_failed = (self.folder / FAILURE).exists()
            changed = state.load(path, RATES if has_failed else frozenset())
            if changed and self.is_first:
                tqdm.write(f"{self.name}: goes on at step {state.step} with other rates: {describe(changed)}")
        if state.step > config.n_updates:
            raise ValueError(
                f"{path}: has reached step {state.step}; expected n_updates >= {state.step}, got {config.n_updates}"
            )
        total = int(self.group.total(torch.tensor(state.step, device=self.device)))
        if total != self.group.count * state.step:
            raise ValueError(f"{self.folder}: not all processes see the same checkpoint; use a folder that they share")
        # What was measured once is kept: the other precision would not give the weights of an undisturbed run.
        state.precision = state.precision or pick_precision(config.precision, self.device, self.group)
        compute_in(state.precision, state.optimizers)

    def update(self) -> dict[str, Any]:
        """Learn from one batch; returns figures to log.

        Raises:
            NotFiniteError: if loss or gradient is not finite; the state is then what it was before.
        """
        task, state, config, group = self.task, self.state, self.config, self.group
        networks = [task.model] if self.opponent is None else [task.model, self.opponent]
        buffers = [(buffer, buffer.clone()) for network in networks for buffer in network.buffers()]
        for network in networks:
            network.train()
            network.zero_grad(set_to_none=True)
        # Of all parts: losses before they were divided, what they were divided by, and who wants to stop.
        sums_3 = torch.tensor([0.0, 0.0, self.stop.signum is not None], device=self.device)
        noted: dict[int, torch.Tensor] = {}
        for part in range(group.index * config.accumulate, (group.index + 1) * config.accumulate):
            # A zero at the end changes nothing: the first part is the batch of a run that has no other.
            rng = np.random.default_rng([config.seed, state.step, part])
            generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
            with autocast(state.precision, self.device):
                loss, figures = task.loss(state.step, rng, generator)
            count = figures.pop("count", 1.0)
            if self.memory is not None:
                noted[part] = figures.pop("noted")
            (loss * count).backward()
            sums_3[0] += loss.detach() * count
            sums_3[1] += count
        sums_3 = _average_gradients(networks, sums_3, group)
        norms = [nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm) for network in networks]
        loss, norm = sums_3[0] / sums_3[1], norms[0]
        for what, value in (("loss", loss), ("gradient norm", norm), ("gradient norm of the opponent", norms[-1])):
            if not math.isfinite(value):
                for buffer, before in buffers:
                    buffer.copy_(before)
                raise NotFiniteError(f"{what} became {float(value)}")
        self._apply()
        if self.memory is not None:
            self.memory.learn(self._of_all_parts(noted))
        note_update()
        self.stop.agreed = self.stop.signum is not None if group.count == 1 else bool(sums_3[2] > 0)
        # Figures other than the loss are those of the last part alone.
        return {"loss": loss, "gradient_norm": norm, **figures}

    def _of_all_parts(self, noted: dict[int, torch.Tensor]) -> torch.Tensor:
        """What all parts noted, in their order, in every process; each part is a row in one of them, else zero."""
        rows = self.config.accumulate * self.group.count
        everything = torch.zeros(rows, *next(iter(noted.values())).shape, dtype=torch.float64)
        for part, each in noted.items():
            everything[part] = each
        return everything if self.group.count == 1 else self.group.total(everything.to(self.device)).cpu()

    def _apply(self) -> None:
        for optimizer in self.state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate_at(self.state.step, self.config)
            optimizer.step()
        self.state.step += 1
        self.state.update_average(self.config.ema)

    def report(self, figures: dict[str, Any], bar: tqdm, logger: Logger | None) -> None:
        """Log what the first process has to say after an update."""
        step = self.state.step
        if logger is not None and (step % LOG_EVERY == 0 or self.is_last):
            numbers = {name: float(value) for name, value in figures.items()}
            bar.set_postfix({name: f"{value:.3g}" for name, value in numbers.items()}, refresh=False)
            logger.figures("train", numbers, step)
        if logger is not None and (step % self.config.eval_every == 0 or self.is_last):
            self.state.average.eval()
            with torch.no_grad():
                measured, pictures = self.task.evaluate(self.state.average)
            logger.figures("test", measured, step)
            logger.pictures(pictures, step)

    def keep(self) -> None:
        """Write a checkpoint.

        Raises:
            NotFiniteError: if a value is not finite; the checkpoint before stays.
        """
        self.state.save(self.folder / CHECKPOINT)
        (self.folder / FAILURE).unlink(missing_ok=True)

    def failed(self, error: NotFiniteError) -> NotFiniteError:
        """Keep what is finite and say how to go on."""
        path = self.folder / CHECKPOINT
        if self.is_first:
            with contextlib.suppress(NotFiniteError):
                self.state.save(path)
            write_json(self.folder / FAILURE, {"step": self.state.step, "problem": str(error)})
        rates = [f"--{name.replace('_', '-')} (now {getattr(self.config, name):g})" for name in sorted(RATES)]
        used = rates[: 2 if self.config.muon_rate else 1]
        kept = f"{path} is the last that was finite" if path.exists() else "nothing was finite before"
        return NotFiniteError(
            f"{self.name}: {error} after step {self.state.step}; {kept}: go on with a lower {' or '.join(used)}"
        )

    def logging(self) -> contextlib.AbstractContextManager[Logger | None]:
        """The logger of the first process."""
        return Logger(self.folder, self.state.step) if self.is_first else contextlib.nullcontext()

    def progress(self) -> tqdm:
        """The progress bar of the first process."""
        return tqdm(
            total=self.config.n_updates,
            initial=self.state.step,
            desc=self.name,
            unit="step",
            smoothing=0.05,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not self.is_first,
        )


def _average_gradients(networks: list[nn.Module], sums_3: torch.Tensor, group: Processes) -> torch.Tensor:
    """Divide gradients summed over all parts and processes by what their losses would have been divided by.

    Losses may be means over unequal numbers of tokens; the mean of their gradients would not be that of one batch.
    A network without any gradient in any process keeps none.
    """
    parameters = [[p for p in network.parameters() if p.requires_grad] for network in networks]
    everything = [p for each in parameters for p in each]
    if group.count > 1:
        learns = sums_3.new_tensor([any(p.grad is not None for p in each) for each in parameters])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in everything]
        # One message: its time is mostly that of beginning.
        together = group.total(torch.cat([sums_3, learns, *(g.flatten() for g in gradients)]))
        sums_3, learns, *summed = together.split([len(sums_3), len(learns), *(p.numel() for p in everything)])
        for p, gradient in zip(everything, summed, strict=True):
            p.grad = gradient.view_as(p)
        for network, processes in zip(networks, learns, strict=True):
            if not processes:
                network.zero_grad(set_to_none=True)
    for p in everything:
        if p.grad is not None:
            p.grad.div_(sums_3[1])
    return sums_3


class _Stop(StopRequest):
    """Whether the run is to stop after the step under way."""

    agreed = False
    """All processes know that one of them was asked."""
