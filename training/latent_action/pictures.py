"""How much each pixel and each transition counts when drawn frames are compared with real ones. Knows no models."""

from __future__ import annotations

import torch


def moving_weights(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """1 where the picture changes, 1/50 elsewhere [B, 1, H, W]: the rest of the picture needs no action."""
    changed = ((after - before).abs().amax(1, keepdim=True) > 0.05).float()
    return changed + 0.02 * (1 - changed)


def calm_weights(area_B: torch.Tensor) -> torch.Tensor:
    """Weight of each transition: one that changes everything, a new screen, would drown all others."""
    return (3 * area_B.median() / area_B).clamp_max(1.0)
