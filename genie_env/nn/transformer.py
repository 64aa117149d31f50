"""Transformer blocks: pre-norm residual branches, attention and a squared-ReLU MLP."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from genie_env.nn.attention import SpatialAttention, TemporalAttention
from genie_env.nn.kv_cache import Present


class MLP(nn.Module):
    """Two products with a squared ReLU between them (So et al. 2021, arXiv 2109.08668)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., D]."""
        return self.down(F.relu(self.up(x)).square())


class SpatialBlock(nn.Module):
    """Attention within a frame, then an MLP: [M, G, D] -> [M, G, D]."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm_space, self.norm_mlp = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.space, self.mlp = SpatialAttention(width, num_heads), MLP(width)

    def forward(self, x_MGD: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x_MGD = x_MGD + self.space(self.norm_space(x_MGD))
        return x_MGD + self.mlp(self.norm_mlp(x_MGD))


class SpatioTemporalBlock(SpatialBlock):
    """Attention over time at each position goes between attention within the frame and the MLP."""

    def __init__(self, width: int, num_heads: int, window: int) -> None:
        super().__init__(width, num_heads)
        self.norm_time = nn.LayerNorm(width, bias=False)
        self.time = TemporalAttention(width, num_heads, window)

    def forward(self, x_BTGD: torch.Tensor) -> torch.Tensor:
        """Whole clips: [B, T, G, D] -> [B, T, G, D]."""
        return self.prefill(x_BTGD)[0]

    def prefill(self, x_BTGD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whole clips beginning at time 0; also their keys and values [2, B, P, T, D/heads] for a cache."""
        rows = x_BTGD.shape[0]
        x_BTGD = x_BTGD + self.space(self.norm_space(x_BTGD).flatten(0, 1)).unflatten(0, (rows, -1))
        mixed, keys_values = self.time.prefill(self.norm_time(x_BTGD))
        x_BTGD = x_BTGD + mixed
        return x_BTGD + self.mlp(self.norm_mlp(x_BTGD)), keys_values

    def step(self, x_BGD: torch.Tensor, keys_values: torch.Tensor, present: Present) -> torch.Tensor:
        """One frame against its layer's ring of the cache: [B, G, D] -> [B, G, D]."""
        x_BGD = x_BGD + self.space(self.norm_space(x_BGD))
        x_BGD = x_BGD + self.time.step(self.norm_time(x_BGD), keys_values, present)
        return x_BGD + self.mlp(self.norm_mlp(x_BGD))
