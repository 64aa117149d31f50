"""Rolling key-value cache: a preallocated ring over the last ``window`` frames of every row.

Each row has its own time, which begins at 0 with its history: what a row computes is then the same to the last bit
whenever it was reset. What leaves the window is overwritten; nothing is ever reallocated or refilled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch


class Present(NamedTuple):
    """Where the frame that every row is about to write stands."""

    time_B: torch.Tensor
    """int64, frames the row has seen before it."""
    rows_B: torch.Tensor
    slot_B: torch.Tensor
    """Slot of the ring that it takes."""
    visible_BW: torch.Tensor
    """bool, slots that it may attend to, its own included."""


@dataclass
class KVCache:
    """Keys and values of every layer.

    Attributes:
        keys: float [layers, B, G, heads, window, D/heads], rotated to their times; time t lies in slot t % window.
        values: like ``keys``.
        time_B: int64, frames each row has seen, which is the time of its next one.
    """

    keys: torch.Tensor
    values: torch.Tensor
    time_B: torch.Tensor

    @classmethod
    def empty(
        cls,
        layers: int,
        rows: int,
        groups: int,
        heads: int,
        window: int,
        head_width: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> KVCache:
        """A cache in which no row has seen a frame."""
        shape = (layers, rows, groups, heads, window, head_width)
        return cls(
            torch.zeros(shape, device=device, dtype=dtype),
            torch.zeros(shape, device=device, dtype=dtype),
            torch.zeros(rows, dtype=torch.long, device=device),
        )

    @property
    def window(self) -> int:
        """Frames the ring holds."""
        return self.keys.shape[4]

    def present(self) -> Present:
        """Where the next frame of every row goes and what it may see."""
        device, time_B = self.time_B.device, self.time_B
        age_BW = (time_B[:, None] - torch.arange(self.window, device=device)) % self.window
        rows_B = torch.arange(len(time_B), device=device)
        return Present(time_B, rows_B, time_B % self.window, age_BW <= time_B[:, None])

    def advance(self) -> None:
        """Count the frame just written by every layer."""
        self.time_B = self.time_B + 1

    def fill_rows(self, rows: torch.Tensor, keys: list[torch.Tensor], values: list[torch.Tensor]) -> None:
        """Replace the history of ``rows`` by P frames of times 0 .. P-1.

        Args:
            rows: int64 [R].
            keys: per layer [R, G, heads, P, D/heads]; of more than ``window`` frames the last ones are kept.
            values: like ``keys``.
        """
        steps = keys[0].shape[3] if keys else 0
        kept = min(steps, self.window)
        slots = torch.arange(steps - kept, steps, device=rows.device) % self.window
        for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
            # Advanced indices on two separate axes move to the front of the result.
            self.keys[layer][rows[:, None], :, :, slots[None]] = k[..., steps - kept :, :].permute(0, 3, 1, 2, 4)
            self.values[layer][rows[:, None], :, :, slots[None]] = v[..., steps - kept :, :].permute(0, 3, 1, 2, 4)
        self.time_B = self.time_B.index_fill(0, rows, steps)

    def clone(self) -> KVCache:
        """An independent copy."""
        return KVCache(self.keys.clone(), self.values.clone(), self.time_B.clone())
