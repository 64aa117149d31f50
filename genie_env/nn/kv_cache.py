"""Rolling key-value cache: a preallocated ring over the last ``window`` frames of every row.

All rows share one clock, so writing a frame is one slice copy; each row has its own length, so rows may begin at
different times. What leaves the window is overwritten; nothing is ever reallocated or refilled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class KVCache:
    """Keys and values of every layer.

    Attributes:
        keys: float [layers, B, G, heads, window, D/heads], rotated to their absolute times.
        values: like ``keys``.
        length_B: frames each row has written, at most ``window`` of which are still there.
        clock: time of the next frame, common to all rows.
    """

    keys: torch.Tensor
    values: torch.Tensor
    length_B: torch.Tensor
    clock: int

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
            clock=0,
        )

    @property
    def window(self) -> int:
        """Frames the ring holds."""
        return self.keys.shape[4]

    def visible(self) -> torch.Tensor:
        """bool [B, window]: slots each row may attend to once the frame of time ``clock`` is written."""
        slots = torch.arange(self.window, device=self.length_B.device)
        age_W = (self.clock - slots) % self.window
        return age_W[None] <= self.length_B[:, None]

    def advance(self) -> None:
        """Count the frame just written by every layer."""
        self.length_B = (self.length_B + 1).clamp_max(self.window)
        self.clock += 1

    def fill_rows(self, rows: torch.Tensor, keys: list[torch.Tensor], values: list[torch.Tensor]) -> None:
        """Replace the history of ``rows`` by frames ``clock-P .. clock-1``.

        Args:
            rows: int64 [R].
            keys: per layer [R, G, heads, P, D/heads]; of more than ``window`` frames the last ones are kept.
            values: like ``keys``.
        """
        steps = keys[0].shape[3] if keys else 0
        kept = min(steps, self.window)
        slots = torch.arange(self.clock - kept, self.clock, device=rows.device) % self.window
        for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
            # Advanced indices on two separate axes move to the front of the result.
            self.keys[layer][rows[:, None], :, :, slots[None]] = k[..., steps - kept :, :].permute(0, 3, 1, 2, 4)
            self.values[layer][rows[:, None], :, :, slots[None]] = v[..., steps - kept :, :].permute(0, 3, 1, 2, 4)
        self.length_B = self.length_B.index_fill(0, rows, kept)

    def clone(self) -> KVCache:
        """An independent copy."""
        return KVCache(self.keys.clone(), self.values.clone(), self.length_B.clone(), self.clock)
