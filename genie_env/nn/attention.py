"""Attention over the positions of one frame, and causal sliding-window attention over time at each position.

Both fuse query, key and value into one product and normalise queries and keys per head (QK-norm). Time enters
through rotary embeddings (arXiv 2104.09864) whose frequencies are whole fractions of ``PERIOD_WINDOWS`` windows:
the rotation repeats exactly, so a ring buffer of keys never meets a position that training did not.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from genie_env.nn.kv_cache import Present

PERIOD_WINDOWS = 4


class _Attention(nn.Module):
    """What both kinds share: the products on the way in and out, and the norm of queries and keys."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        # Normalised queries and keys have dot products of at most the head's width; 1.5 lets attention become sharp.
        self.scale = 1.5 / math.sqrt(width // num_heads)

    def _qk_v(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[..., D] -> queries and keys of unit variance [..., 2, heads, D/heads], values [..., heads, D/heads]."""
        # Split and unbound, not indexed: the gradients of indices are sums of mostly zeros.
        qk, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).split((2, 1), -3)
        # In one call: at one row a step is made of overheads. LayerNorm's kernel is three times as fast as RMSNorm's.
        return F.layer_norm(qk, qk.shape[-1:]), v.squeeze(-3)


class SpatialAttention(_Attention):
    """Full attention among the positions of a frame: [M, G, D] -> [M, G, D]."""

    def forward(self, x_MGD: torch.Tensor) -> torch.Tensor:
        """See the class."""
        qk, v = self._qk_v(x_MGD)
        q, k = qk.transpose(1, 3).unbind(2)
        mixed = attend(q, k, v.transpose(1, 2), self.scale)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def weights(self, x_MGD: torch.Tensor) -> torch.Tensor:
        """Attention weights [M, heads, G, G], for pictures."""
        q, k = self._qk_v(x_MGD)[0].transpose(1, 3).unbind(2)
        return (q @ k.transpose(-1, -2) * self.scale).softmax(-1)


class TemporalAttention(_Attention):
    """Causal attention over the last ``window`` frames at each position.

    Positions and heads do not meet here, so they are one axis: P = G * heads.
    """

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__(width, num_heads)
        self.window = window
        # Recomputed, not stored: a table of constants has no place among the weights.
        self.register_buffer("phases", _rotary_phases(width // num_heads, window), persistent=False)

    phases: torch.Tensor
    """float [period, D/heads/2, 2]: cosine and sine of the rotation at each time."""

    def forward(self, x_BTGD: torch.Tensor) -> torch.Tensor:
        """Whole clips at once: [B, T, G, D] -> [B, T, G, D]; frame t sees frames t-window+1 .. t."""
        return self.prefill(x_BTGD)[0]

    def prefill(self, x_BTGD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Like :meth:`forward`; also returns what a cache keeps of these frames, whose first has time 0.

        Returns:
            output [B, T, G, D], rotated keys and values [2, B, P, T, D/heads].
        """
        steps, groups = x_BTGD.shape[1:3]
        q, k, v = self._over_time(x_BTGD)
        mask = sliding_window_mask(steps, self.window, x_BTGD.device)
        mixed = attend(q, k, v, self.scale, mask)
        mixed = mixed.unflatten(1, (groups, -1)).permute(0, 3, 1, 2, 4).flatten(3)
        return self.out(mixed), torch.stack([k, v])

    def step(self, x_BGD: torch.Tensor, keys_values: torch.Tensor, present: Present) -> torch.Tensor:
        """One frame against a ring buffer, into which its own key and value are written first.

        Args:
            x_BGD: features of the present frame.
            keys_values: [2, B, P, window, D/heads], written in place at the present frame's slots.
            present: when the frame is, where it goes, and what it may see.
        """
        qk, v = self._qk_v(x_BGD)
        phases = self.phases[present.time_B % len(self.phases)][:, None, None, None]
        q, k = rotate(qk, phases).unbind(2)
        fresh = torch.stack([k, v])
        keys_values.view(-1, fresh.shape[-1]).index_copy_(0, present.places, fresh.view(-1, fresh.shape[-1]))
        keys, values = keys_values
        if torch.compiler.is_compiling():
            # The compiler would write the products below out as loops, ten times slower.
            mask = present.bias_B1W[:, None]
            mixed = F.scaled_dot_product_attention(q.flatten(1, 2)[:, :, None], keys, values, mask, scale=self.scale)
            return self.out(mixed.reshape(x_BGD.shape))
        # Not the fused kernel: what it computes depends on the number of threads.
        scores = (keys @ q.flatten(1, 2)[..., None])[..., 0] * self.scale + present.bias_B1W
        mixed = (scores.softmax(-1)[:, :, None] @ values)[:, :, 0]
        return self.out(mixed.view(x_BGD.shape))

    def weights(self, x_BTGD: torch.Tensor) -> torch.Tensor:
        """Attention weights [B, G, heads, T, T], for pictures."""
        q, k, _ = self._over_time(x_BTGD)
        scores = q @ k.transpose(-1, -2) * self.scale
        mask = sliding_window_mask(x_BTGD.shape[1], self.window, x_BTGD.device)
        return scores.masked_fill(~mask, -torch.inf).softmax(-1).unflatten(1, (x_BTGD.shape[2], -1))

    def _over_time(self, x_BTGD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rotated queries, rotated keys and values, each [B, P, T, D/heads]."""
        qk, v = self._qk_v(x_BTGD)
        times_T = torch.arange(x_BTGD.shape[1], device=x_BTGD.device) % len(self.phases)
        q, k = rotate(qk, self.phases[times_T][:, None, None, None]).unbind(3)
        return q.flatten(2, 3).transpose(1, 2), k.flatten(2, 3).transpose(1, 2), v.flatten(2, 3).transpose(1, 2)


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Attention of queries [..., T, E] to keys and values [..., S, E]; ``mask``, bool [T, S], says who sees what."""
    if torch.is_grad_enabled() and q.device.type == "cpu":
        # The gradient of the fused kernel takes several times as long as that of products (docs/performance.md).
        scores = (q * scale) @ k.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, scale=scale, attn_mask=mask)


def sliding_window_mask(steps: int, window: int, device: torch.device | None = None) -> torch.Tensor:
    """bool [T, T]: True where frame i (row) may see frame j (column), i-window < j <= i."""
    age = torch.arange(steps, device=device)[:, None] - torch.arange(steps, device=device)[None]
    return (age >= 0) & (age < window)


def rotate(x: torch.Tensor, phases: torch.Tensor) -> torch.Tensor:
    """Rotate neighbouring pairs of channels of x [..., D] by phases [..., D/2, 2] (cosine, sine)."""
    if torch.compiler.is_compiling():  # which cannot generate complex products
        (one, other), (cosine, sine) = x.unflatten(-1, (-1, 2)).unbind(-1), phases.unbind(-1)
        return torch.stack([one * cosine - other * sine, one * sine + other * cosine], -1).flatten(-2)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.view_as_complex(phases)).flatten(-2)


def _rotary_phases(head_width: int, window: int) -> torch.Tensor:
    period = PERIOD_WINDOWS * window
    pairs = head_width // 2
    # Computed on the CPU even where a network is built for its shapes only: arithmetic on the meta device imports a
    # compiler, which takes seconds.
    with torch.device("cpu"):
        # Whole numbers of turns per period, spread evenly from one turn to the fastest that 'window' frames can use.
        turns = torch.linspace(1, period // 4, pairs).round()
        angles = 2 * math.pi * torch.arange(period)[:, None] * turns[None] / period
        return torch.stack([angles.cos(), angles.sin()], dim=-1)
