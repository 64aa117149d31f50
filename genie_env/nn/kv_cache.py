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
    places: torch.Tensor
    """int64 [2 * B * P], where its keys and values go in a layer's ring seen as [2 * B * P * window, D/heads]."""
    bias_B1W: torch.Tensor
    """float, added to attention scores: 0 for slots it may attend to, its own included, else minus infinity."""


@dataclass
class KVCache:
    """Keys and values of every layer.

    Attributes:
        rings: of each layer, float [2, B, P, window, D/heads]: keys, rotated to their times, and values; P runs over
            positions and heads. Time t lies in slot t % window. Tensors of their own, for the compiler copies a
            tensor that is written in part only.
        time_B: int64, frames each row has seen, which is the time of its next one.
    """

    rings: list[torch.Tensor]
    time_B: torch.Tensor

    @classmethod
    def empty(
        cls,
        layers: int,
        rows: int,
        places: int,
        window: int,
        head_width: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> KVCache:
        """A cache in which no row has seen a frame; ``places`` is positions times heads."""
        shape = (2, rows, places, window, head_width)
        rings = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(layers)]
        return cls(rings, torch.zeros(rows, dtype=torch.long, device=device))

    @property
    def window(self) -> int:
        """Frames the ring holds."""
        return self.rings[0].shape[3]

    def present(self) -> Present:
        """Where the next frame of every row goes and what it may see."""
        device, time_B, places = self.time_B.device, self.time_B, self.rings[0].shape[2]
        slot_B = time_B % self.window
        age_BW = (slot_B[:, None] - torch.arange(self.window, device=device)) % self.window
        hidden_BW = age_BW > time_B[:, None]
        bias_BW = torch.zeros(hidden_BW.shape, dtype=self.rings[0].dtype, device=device)
        starts = torch.arange(0, 2 * len(time_B) * places * self.window, self.window, device=device)
        places_2BP = starts.view(2, len(time_B), places) + slot_B[:, None]
        return Present(time_B, places_2BP.flatten(), bias_BW.masked_fill_(hidden_BW, -torch.inf)[:, None])

    def advance(self) -> None:
        """Count the frame just written by every layer."""
        self.time_B = self.time_B + 1

    def fill_rows(self, rows: torch.Tensor, histories: list[torch.Tensor]) -> None:
        """Replace the history of ``rows`` by T frames of times 0 .. T-1.

        Args:
            rows: int64 [R].
            histories: per layer keys and values [2, R, P, T, D/heads]; of more than ``window`` frames the last ones
                are kept. Empty where T is 0.
        """
        steps = histories[0].shape[3] if histories else 0
        kept = min(steps, self.window)
        slots = torch.arange(steps - kept, steps, device=rows.device) % self.window
        for ring, history in zip(self.rings, histories):  # noqa: B905 (none at all is an empty history)
            # Advanced indices on two separate axes move to the front of the result.
            ring[:, rows[:, None], :, slots[None]] = history[..., steps - kept :, :].permute(1, 3, 0, 2, 4)
        self.time_B = self.time_B.index_fill(0, rows, steps)

    def take(self, rows: torch.Tensor) -> KVCache:
        """A new cache of these ``rows`` int64 [R] in this order, any of them more than once."""
        return KVCache([ring.index_select(1, rows) for ring in self.rings], self.time_B[rows])

    def clone(self) -> KVCache:
        """An independent copy."""
        return KVCache([ring.clone() for ring in self.rings], self.time_B.clone())
