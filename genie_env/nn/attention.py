"""Attention over the positions of one frame, and causal sliding-window attention over time at each position.

Both fuse query, key and value into one product and normalise queries and keys per head (QK-norm). Time enters
through rotary embeddings (arXiv 2104.09864) whose frequencies are whole fractions of ``PERIOD_WINDOWS`` windows:
the rotation repeats exactly, so a ring buffer of keys never meets a position that training did not.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from genie_env.nn.kv_cache import Present

PERIOD_WINDOWS = 4


class SpatialAttention(nn.Module):
    """Full attention among the positions of a frame: [M, G, D] -> [M, G, D]."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x_MGD: torch.Tensor) -> torch.Tensor:
        """See the class."""
        qkv = rearrange(self.qkv(x_MGD), "m g (three h d) -> three m h g d", three=3, h=self.num_heads)
        # Queries and keys are normalised in one call: at one row a step is made of overheads.
        (q, k), v = _unit(qkv[:2]), qkv[2]
        mixed = F.scaled_dot_product_attention(q, k, v, scale=_scale(q))
        return self.out(rearrange(mixed, "m h g d -> m g (h d)"))

    def weights(self, x_MGD: torch.Tensor) -> torch.Tensor:
        """Attention weights [M, heads, G, G], for pictures."""
        q, k, _ = rearrange(self.qkv(x_MGD), "m g (three h d) -> three m h g d", three=3, h=self.num_heads)
        return (_unit(q) @ _unit(k).transpose(-1, -2) * _scale(q)).softmax(-1)


class TemporalAttention(nn.Module):
    """Causal attention over the last ``window`` frames at each position."""

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads, self.window = num_heads, window
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        # Recomputed, not stored: a table of constants has no place among the weights.
        self.register_buffer("_angles", _rotary_angles(width // num_heads, window), persistent=False)

    _angles: torch.Tensor

    def forward(self, x_BTGD: torch.Tensor) -> torch.Tensor:
        """Whole clips at once: [B, T, G, D] -> [B, T, G, D]; frame t sees frames t-window+1 .. t."""
        return self.prefill(x_BTGD)[0]

    def prefill(self, x_BTGD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Like :meth:`forward`; also returns what a cache keeps of these frames, whose first has time 0.

        Returns:
            output [B, T, G, D], rotated keys and values [B, G, heads, T, D/heads].
        """
        steps = x_BTGD.shape[1]
        qkv = rearrange(self.qkv(x_BTGD), "b t g (three h d) -> three b g h t d", three=3, h=self.num_heads)
        times_T = torch.arange(steps, device=x_BTGD.device) % len(self._angles)
        (q, k), v = _rotate(_unit(qkv[:2]), self._angles[times_T]), qkv[2]
        rows = x_BTGD.shape[0]
        mixed = F.scaled_dot_product_attention(
            q.flatten(0, 1),
            k.flatten(0, 1),
            v.flatten(0, 1),
            scale=_scale(q),
            attn_mask=sliding_window_mask(steps, self.window, x_BTGD.device),
        )
        return self.out(rearrange(mixed, "(b g) h t d -> b t g (h d)", b=rows)), k, v

    def step(self, x_BGD: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, present: Present) -> torch.Tensor:
        """One frame against a ring buffer, into which its own key and value are written first.

        Args:
            x_BGD: features of the present frame.
            keys: [B, G, heads, window, D/heads], written in place at the present frame's slot.
            values: like ``keys``.
            present: when the frame is, where it goes, and what it may see.
        """
        qkv = rearrange(self.qkv(x_BGD), "b g (three h d) -> three b g h d", three=3, h=self.num_heads)
        angles_B11D = self._angles[present.time_B % len(self._angles)][:, None, None]
        (q, k), v = _rotate(_unit(qkv[:2]), angles_B11D), qkv[2]
        keys[present.rows_B, :, :, present.slot_B] = k
        values[present.rows_B, :, :, present.slot_B] = v
        scores = (keys @ q[..., None])[..., 0] * _scale(q)
        weights = scores.masked_fill(~present.visible_BW[:, None, None], -torch.inf).softmax(-1)
        mixed = (weights[..., None, :] @ values)[..., 0, :]
        return self.out(mixed.flatten(2))


def sliding_window_mask(steps: int, window: int, device: torch.device | None = None) -> torch.Tensor:
    """bool [T, T]: True where frame i (row) may see frame j (column), i-window < j <= i."""
    age = torch.arange(steps, device=device)[:, None] - torch.arange(steps, device=device)[None]
    return (age >= 0) & (age < window)


def _rotary_angles(head_width: int, window: int) -> torch.Tensor:
    period = PERIOD_WINDOWS * window
    pairs = head_width // 2
    # Whole numbers of turns per period, spread evenly from one turn to the fastest that 'window' frames can use.
    turns = torch.linspace(1, period // 4, pairs).round()
    return 2 * math.pi * torch.arange(period)[:, None] * turns[None] / period


def _rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotate pairs of channels of x [..., D] by angles [..., D/2]."""
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _unit(x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],))


def _scale(q: torch.Tensor) -> float:
    # Normalised queries and keys have dot products of at most the head's width; 1.5 lets attention become sharp.
    return 1.5 / math.sqrt(q.shape[-1])
