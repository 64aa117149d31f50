"""How weights move: the optimisers of a model, the learning rate over a run, the precision of matrix products.

Knows nothing of tasks, batches or checkpoints.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from training.engine.distributed import Processes
from training.engine.loop_config import LoopConfig, Precision
from training.engine.muon import Muon
from training.engine.task import Opponent


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw first weights from ``seed``; torch's global generator goes on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        yield


def make_optimizers(model: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
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


def opponent_optimizer(opponent: Opponent) -> torch.optim.Optimizer:
    """AdamW that forgets quickly, since what an opponent learns against moves (betas as in VQGAN, arXiv 2012.09841)."""
    parameters, rate = opponent.network.parameters(), opponent.learning_rate
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.5, 0.9), weight_decay=0.0, fused=True)
    optimizer.param_groups[0]["peak"] = rate
    return optimizer


def rate_at(step: int, config: LoopConfig) -> float:
    """Linear warm-up, the peak, then a half cosine down to a thousandth."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    length = config.decay_share * max(1, config.n_updates - config.warmup)
    progress = (step - (config.n_updates - length)) / length
    return 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are."""
    return next(iter(model.parameters())).device


def pick_precision(asked: Precision, device: torch.device, group: Processes) -> Precision:
    """``asked``, or for ``auto`` the precision in which this machine multiplies matrices faster."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        # Launching a small product takes longer than the product, so that timing it says nothing.
        faster = torch.cuda.is_bf16_supported()
    else:
        faster = _product_seconds(torch.bfloat16, device) < _product_seconds(torch.float32, device)
    # One answer for all processes, whatever each of them measured.
    votes = int(group.total(torch.tensor(int(faster), device=device)))
    return "bfloat16" if 2 * votes > group.count else "float32"


def compute_in(precision: str, optimizers: list[torch.optim.Optimizer]) -> None:
    """Let optimisers multiply matrices in ``precision``, ``float32`` or ``bfloat16``, where they multiply any."""
    for optimizer in optimizers:
        if isinstance(optimizer, Muon):
            optimizer.precision = torch.float32 if precision == "float32" else torch.bfloat16


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Computes losses in ``precision``, ``float32`` or ``bfloat16``."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _product_seconds(dtype: torch.dtype, device: torch.device) -> float:
    a = torch.randn(256, 256, device=device).to(dtype)
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        float((a @ a)[0, 0])
        best = min(best, time.perf_counter() - start)
    return best
