"""How long and how fast to train: settings that all stages share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from genie_env.files.json_config import JsonConfig

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS = get_args(Precision)


@dataclass(frozen=True)
class LoopConfig(JsonConfig):
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
    precision: Precision = "auto"
    """``float32``, ``bfloat16`` autocast, or ``auto``: whichever multiplies matrices faster on this machine."""

    def __post_init__(self) -> None:
        for name in ("n_updates", "batch_size", "accumulate", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected an integer >= 1, got {getattr(self, name)!r}")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a finite number > 0, got {getattr(self, name)!r}")
        for name in ("muon_rate", "weight_decay", "warmup", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a finite number >= 0, got {getattr(self, name)!r}")
        for name in ("ema", "decay_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number in [0, 1], got {getattr(self, name)!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {list(PRECISIONS)}, got {self.precision!r}")
