"""The one training loop. Every stage hands it a :class:`Task`; it knows nothing of what is being learned.

Owns optimiser, schedule, weight averaging, logging, progress, checkpoints and interruption. A step is a function of
the weights, the optimiser state and (seed, step), so a run that is killed and resumed gives the same weights as one
that was not.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm

from training.muon import Muon

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast to train."""

    n_updates: int = 1000
    """Optimiser steps."""
    batch_size: int = 16
    """Rows of a batch."""
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
    """Steps between checkpoints; Ctrl-C and SIGTERM write one too."""
    precision: str = "auto"
    """``float32``, ``bfloat16`` autocast, or ``auto``: whichever multiplies matrices faster on this machine."""


class Task(Protocol):
    """What a stage brings to the loop."""

    model: nn.Module
    """May have a method ``hidden_matrices`` that lists the parameters meant for Muon."""

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Loss of one batch, and figures (numbers or scalar tensors) to log. Random only through the arguments."""
        ...

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Figures and pictures (uint8 [H, W, 3]) of the averaged model on held-out episodes."""
        ...


class Interrupted(Exception):
    """Training was stopped by Ctrl-C or SIGTERM after writing a checkpoint."""


def fit(task: Task, config: LoopConfig, folder: Path, name: str) -> nn.Module:
    """Train ``task.model`` to ``config.n_updates`` steps and return the averaged model in eval mode.

    Resumes from ``folder/checkpoint.safetensors`` where there is one.

    Raises:
        Interrupted: on Ctrl-C or SIGTERM, after a checkpoint was written.
        ValueError: if the checkpoint belongs to another configuration, or the loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = _State.start(task.model, config)
    if (folder / CHECKPOINT).exists():
        state.load(folder / CHECKPOINT)
    autocast = pick_autocast(config.precision, _device(task.model))
    with (
        _Logger(folder) as logger,
        _interruption() as stop,
        tqdm(
            total=config.n_updates,
            initial=state.step,
            desc=name,
            unit="step",
            smoothing=0.05,
            mininterval=0.5 if sys.stderr.isatty() else 30,
        ) as bar,
    ):
        while state.step < config.n_updates:
            figures = _update(task, state, config, autocast)
            bar.update()
            if state.step % 20 == 0 or state.step == config.n_updates:
                figures = {k: float(v) for k, v in figures.items()}
                if not math.isfinite(figures["loss"]):
                    raise ValueError(
                        f"{name}: loss became {figures['loss']} at step {state.step}; "
                        f"lower --learning-rate (now {config.learning_rate})"
                    )
                bar.set_postfix({k: f"{v:.3g}" for k, v in figures.items()})
                logger.figures("train", figures, state.step)
            if state.step % config.eval_every == 0 or state.step == config.n_updates:
                state.average.eval()
                with torch.no_grad():
                    measured, pictures = task.evaluate(state.average)
                logger.figures("test", measured, state.step)
                logger.pictures(pictures, state.step)
            if state.step % config.checkpoint_every == 0 or state.step == config.n_updates or stop.asked:
                state.save(folder / CHECKPOINT)
            if stop.asked and state.step < config.n_updates:
                raise Interrupted(f"{name}: stopped at step {state.step}; run the same command to go on")
    return state.average.eval()


def _update(task: Task, state: _State, config: LoopConfig, autocast: Any) -> dict[str, Any]:
    rng = np.random.default_rng([config.seed, state.step])
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _schedule(state.step, config)
    task.model.train()
    with autocast():
        loss, figures = task.loss(state.step, rng, generator)
    task.model.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(task.model.parameters(), config.clip_norm)
    for optimizer in state.optimizers:
        optimizer.step()
    state.step += 1
    state.update_average(config.ema)
    return {"loss": loss.detach(), "gradient_norm": norm, **figures}


def _schedule(step: int, config: LoopConfig) -> float:
    """Linear warm-up, the peak, then a half cosine down to a thousandth."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    length = config.decay_share * max(1, config.n_updates - config.warmup)
    progress = (step - (config.n_updates - length)) / length
    return 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))


class _State:
    """Weights, averaged weights, optimiser moments and the step: all that a resume needs."""

    def __init__(
        self, model: nn.Module, average: nn.Module, optimizers: list[torch.optim.Optimizer], stamp: str
    ) -> None:
        self.model, self.average, self.optimizers, self.stamp, self.step = model, average, optimizers, stamp, 0

    @classmethod
    def start(cls, model: nn.Module, config: LoopConfig) -> _State:
        import copy

        average = copy.deepcopy(model).requires_grad_(False)
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
        # Not the number of updates: a run may be made longer.
        stamp = json.dumps(
            {
                "learning_rate": config.learning_rate,
                "muon_rate": config.muon_rate,
                "batch_size": config.batch_size,
                "seed": config.seed,
            }
        )
        return cls(model, average, optimizers, stamp)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        # Early on the average follows closely; otherwise it would remember the random start.
        decay = min(decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_([*self.average.parameters()], [*self.model.parameters()], 1 - decay)
        for kept, fresh in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(fresh)

    def save(self, path: Path) -> None:
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


def _device(model: nn.Module) -> torch.device:
    return next(iter(model.parameters())).device


def pick_autocast(precision: str, device: torch.device) -> Any:
    """A context factory for the asked precision; ``auto`` times one matrix product in each."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision: expected 'auto', 'float32' or 'bfloat16', got {precision!r}")
    if precision == "auto":
        precision = (
            "bfloat16"
            if _product_seconds(torch.bfloat16, device) < _product_seconds(torch.float32, device)
            else "float32"
        )
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


class _Stop:
    asked = False


@contextlib.contextmanager
def _interruption() -> Iterator[_Stop]:
    """Turn Ctrl-C and SIGTERM into a request that the loop answers after the step under way."""
    stop = _Stop()

    def ask(signum: int, frame: Any) -> None:
        if stop.asked and signum == signal.SIGINT:
            raise KeyboardInterrupt
        stop.asked = True

    try:
        previous = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # Signals reach the main thread only; elsewhere the caller handles them.
        previous = {}
    try:
        yield stop
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


class _Logger:
    """TensorBoard events and a JSON-lines file of the same figures."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"))
        self._lines = (folder / "log.jsonl").open("a")

    def __enter__(self) -> _Logger:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()
        self._lines.close()

    def figures(self, group: str, figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            self._board.add_scalar(f"{group}/{name}", value, step)
        self._lines.write(json.dumps({"step": step, "group": group, **figures}) + "\n")
        self._lines.flush()

    def pictures(self, pictures: dict[str, np.ndarray], step: int) -> None:
        for name, picture_HWC in pictures.items():
            self._board.add_image(name, picture_HWC, step, dataformats="HWC")
