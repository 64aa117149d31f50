"""A discriminator of pictures, which tells patches that the tokenizer drew from real ones."""

from __future__ import annotations

import torch
from torch import nn


class PatchDiscriminator(nn.Module):
    """Convolutions that see 22 by 22 pixels at each place (PatchGAN, arXiv 1611.07004); no batch statistics."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 4, 2, 1),
            nn.GroupNorm(8, 2 * channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * channels, 1, 4, 1, 1),
        )

    def forward(self, frames_BCHW: torch.Tensor) -> torch.Tensor:
        """float [B, 3, H, W] in [-1, 1] -> scores [B, h, w]; higher is more real."""
        return self.layers(frames_BCHW)[:, 0]
