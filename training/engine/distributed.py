"""Training in several processes: who this one is, where it computes, and sums over all of them.

Knows nothing of models, batches or checkpoints. One process is the rule and needs nothing; several are started and
connected by accelerate: ``torchrun --nproc_per_node 4 -m training.train_dynamics …``, on one machine or many. (Its own
launcher, ``accelerate launch``, works too, but starts a single process where it finds no GPU.)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Processes:
    """The processes that train one model together."""

    count: int = 1
    index: int = 0
    """Number of this process, from 0; the first one evaluates, logs and writes."""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.index == 0

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum over all processes, the same to the last bit in each. Every process must call it, with equal shapes."""
        if self.count == 1:
            return tensor
        from accelerate.utils import reduce

        return reduce(tensor, reduction="sum")  # pyright: ignore[reportReturnType]


def connect() -> Processes:
    """The processes of this run; connected by the first call.

    Raises:
        ImportError: if there are several, but no accelerate.
        RuntimeError: if accelerate does not connect them.
    """
    if _announced() == 1:
        return Processes()
    state = _accelerate_state()
    return Processes(state.num_processes, state.process_index)


def training_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``"auto"`` is this process's own GPU where there is one, else the CPU."""
    if name != "auto":
        return torch.device(name)
    if _announced() > 1:
        return _accelerate_state().device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _announced() -> int:
    """Processes that the launcher says there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _accelerate_state() -> Any:
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ImportError("training in several processes needs accelerate: pip install 'genie-env[multi]'") from error
    state = PartialState(cpu=not torch.cuda.is_available())
    if state.num_processes != _announced():
        # Going on would train the same model several times, each time over the files of the others.
        raise RuntimeError(f"expected {_announced()} processes, but accelerate connected {state.num_processes}")
    return state
