"""The one training loop. Every stage hands it a :class:`Task`; it knows nothing of what is being learned.

Owns optimiser, schedule, progress and interruption. A step is a function of the weights, the optimiser state and
(seed, step), so a run that is killed and resumed gives the same weights as one that was not.

A batch consists of parts, each a function of (seed, step, part): ``accumulate`` of them in each process, one after
another. Their gradients are averaged as if they were one batch, so that two processes with one part each learn what
one process with two parts learns. The first process evaluates, logs and writes checkpoints.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from genie_env.command import Interrupted, StopRequest, on_stop_signal
from training.engine.checkpoint import TrainingState
from training.engine.distributed import Processes, connect
from training.engine.logger import Logger
from training.engine.muon import Muon

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast to train."""

    n_updates: int = 1000
    """Optimiser steps."""
    batch_size: int = 16
    """Rows of a batch, or of each of its parts."""
    accumulate: int = 1
    """Parts of a batch that each process works on one after another: memory for one, gradients of all."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW; it warms up over the first steps and falls to a tenth of a percent at the end."""
    muon_rate: float = 0.0
    """Peak learning rate of Muon, for the matrices that a model names in ``hidden_matrices``; 0: AdamW for all."""
    decay_share: float = 1.0
    """Share of the steps over which the learning rate falls; before, it stays at its peak."""
    weight_decay: float = 0.01
    """Decoupled weight decay on matrices."""
    warmup: int = 100
    """Steps of linear warm-up."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    ema: float = 0.998
    """Decay of the averaged weights, which are what a stage delivers."""
    seed: int = 0
    """Seed of initial weights and batches."""
    eval_every: int = 500
    """Steps between evaluations on held-out episodes."""
    checkpoint_every: int = 250
    """Steps between checkpoints; Ctrl-C, SIGTERM and SIGHUP write one too."""
    precision: str = "auto"
    """``float32``, ``bfloat16`` autocast, or ``auto``: whichever multiplies matrices faster on this machine."""


class Task(Protocol):
    """What a stage brings to the loop."""

    @property
    def model(self) -> nn.Module:
        """May have a method ``hidden_matrices`` that lists the parameters meant for Muon."""
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


def fit(task: Task, config: LoopConfig, folder: Path, name: str) -> nn.Module:
    """Train ``task.model`` to ``config.n_updates`` steps and return the averaged model in eval mode.

    Resumes from ``folder/checkpoint.safetensors`` where there is one; all processes must see the folder.

    Raises:
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written.
        ValueError: if the checkpoint belongs to another configuration, or the loss is not finite.
        ImportError: if there are several processes, but no accelerate.
    """
    if config.accumulate < 1:
        raise ValueError(f"accumulate: expected an integer >= 1, got {config.accumulate!r}")
    folder.mkdir(parents=True, exist_ok=True)
    everyone = connect()
    state = TrainingState(task.model, _optimizers(task.model, config), _stamp(config, everyone))
    if (folder / CHECKPOINT).exists():
        state.load(folder / CHECKPOINT)
    _require_same_step(state, everyone, folder)
    autocast, stop = pick_autocast(config.precision, _device(task.model), everyone), _Stop()
    with (
        Logger(folder) if everyone.is_first else contextlib.nullcontext() as logger,
        on_stop_signal(stop.ask),
        tqdm(
            total=config.n_updates,
            initial=state.step,
            desc=name,
            unit="step",
            smoothing=0.05,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not everyone.is_first,
        ) as bar,
    ):
        while state.step < config.n_updates:
            figures = _update(task, state, config, autocast, everyone, stop)
            bar.update()
            last = state.step == config.n_updates
            if state.step % 20 == 0 or last:
                figures = {k: float(v) for k, v in figures.items()}
                if not math.isfinite(figures["loss"]):
                    raise ValueError(
                        f"{name}: loss became {figures['loss']} at step {state.step}; "
                        f"lower --learning-rate (now {config.learning_rate})"
                    )
                if logger is not None:
                    bar.set_postfix({k: f"{v:.3g}" for k, v in figures.items()}, refresh=False)
                    logger.figures("train", figures, state.step)
            if logger is not None and (state.step % config.eval_every == 0 or last):
                state.average.eval()
                with torch.no_grad():
                    measured, pictures = task.evaluate(state.average)
                logger.figures("test", measured, state.step)
                logger.pictures(pictures, state.step)
            if everyone.is_first and (state.step % config.checkpoint_every == 0 or last or stop.agreed):
                state.save(folder / CHECKPOINT)
            if stop.agreed and not last:
                message = f"{name}: stopped at step {state.step}; run the same command to go on"
                raise Interrupted(message, stop.signum or signal.SIGTERM)
    return state.average.eval()


def _update(
    task: Task, state: TrainingState, config: LoopConfig, autocast: Any, everyone: Processes, stop: _Stop
) -> dict[str, Any]:
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _schedule(state.step, config)
    task.model.train()
    task.model.zero_grad(set_to_none=True)
    # Of all parts: losses before they were divided, what they were divided by, and who wants to stop.
    sums_3 = torch.tensor([0.0, 0.0, stop.signum is not None], device=_device(task.model))
    for part in range(everyone.index * config.accumulate, (everyone.index + 1) * config.accumulate):
        # A zero at the end changes nothing: the first part is the batch of a run that has no other.
        rng = np.random.default_rng([config.seed, state.step, part])
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        with autocast():
            loss, figures = task.loss(state.step, rng, generator)
        count = figures.pop("count", 1.0)
        (loss * count).backward()
        sums_3[0] += loss.detach() * count
        sums_3[1] += count
    sums_3 = _average_gradients(task.model, sums_3, everyone)
    norm = nn.utils.clip_grad_norm_(task.model.parameters(), config.clip_norm)
    for optimizer in state.optimizers:
        optimizer.step()
    state.step += 1
    state.update_average(config.ema)
    stop.agreed = stop.signum is not None if everyone.count == 1 else bool(sums_3[2] > 0)
    # Figures other than the loss are those of the last part alone.
    return {"loss": sums_3[0] / sums_3[1], "gradient_norm": norm, **figures}


def _average_gradients(model: nn.Module, sums_3: torch.Tensor, everyone: Processes) -> torch.Tensor:
    """Divide gradients summed over all parts and processes by what their losses would have been divided by.

    Losses may be means over unequal numbers of tokens; the mean of their gradients would not be that of one batch.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if everyone.count > 1:
        # One message: its time is mostly that of beginning.
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        together = everyone.total(torch.cat([sums_3, *(g.flatten() for g in gradients)]))
        sums_3, *summed = together.split([len(sums_3), *(p.numel() for p in parameters)])
        for p, gradient in zip(parameters, summed, strict=True):
            p.grad = gradient.view_as(p)
    for p in parameters:
        if p.grad is not None:
            p.grad.div_(sums_3[1])
    return sums_3


def _require_same_step(state: TrainingState, everyone: Processes, folder: Path) -> None:
    if int(everyone.total(torch.tensor(state.step, device=_device(state.model)))) != everyone.count * state.step:
        raise ValueError(f"{folder}: not all processes see the same checkpoint; use a folder that they share")


def _stamp(config: LoopConfig, everyone: Processes) -> str:
    """The settings that a checkpoint must share. Not the number of updates: a run may be made longer."""
    names = ("learning_rate", "muon_rate", "batch_size", "seed")
    parts = config.accumulate * everyone.count
    return json.dumps({name: getattr(config, name) for name in names} | ({"parts": parts} if parts > 1 else {}))


def _optimizers(model: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the matrices that the model names; each group knows its peak rate."""
    hidden = model.hidden_matrices() if config.muon_rate > 0 else []  # pyright: ignore[reportCallIssue]
    rest = [p for p in model.parameters() if p.requires_grad and not any(p is h for h in hidden)]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [
                {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
                {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
    ]
    if hidden:
        optimizers.append(Muon(hidden, lr=config.muon_rate, weight_decay=config.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def _schedule(step: int, config: LoopConfig) -> float:
    """Linear warm-up, the peak, then a half cosine down to a thousandth."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    length = config.decay_share * max(1, config.n_updates - config.warmup)
    progress = (step - (config.n_updates - length)) / length
    return 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))


def _device(model: nn.Module) -> torch.device:
    return next(iter(model.parameters())).device


def pick_autocast(precision: str, device: torch.device, everyone: Processes) -> Any:
    """A context factory for the asked precision; ``auto`` times one matrix product in each."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision: expected 'auto', 'float32' or 'bfloat16', got {precision!r}")
    if precision == "auto":
        faster = _product_seconds(torch.bfloat16, device) < _product_seconds(torch.float32, device)
        # One answer for all processes, whatever each of them measured.
        votes = int(everyone.total(torch.tensor(int(faster), device=device)))
        precision = "bfloat16" if 2 * votes > everyone.count else "float32"
    if precision == "float32":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)


def _product_seconds(dtype: torch.dtype, device: torch.device) -> float:
    a = torch.randn(256, 256, device=device).to(dtype)
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        float((a @ a)[0, 0])
        best = min(best, time.perf_counter() - start)
    return best


class _Stop(StopRequest):
    """Whether the run is to stop after the step under way."""

    agreed = False
    """All processes know that one of them was asked."""
