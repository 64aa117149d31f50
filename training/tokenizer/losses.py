"""Losses on pictures that see small objects."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def foreground(frames_BCHW: torch.Tensor, background_CHW: torch.Tensor, threshold: float = 0.06) -> torch.Tensor:
    """float [B, 1, H, W]: 1 where a pixel in [-1, 1] differs from the median background."""
    return ((frames_BCHW - background_CHW).abs().amax(1, keepdim=True) > threshold).float()


def density_weights(mask_B1HW: torch.Tensor, floor: float = 0.02, radius: int = 4) -> torch.Tensor:
    """Weights that give every object about the same say, however few its pixels.

    Each foreground pixel is weighted by the inverse of the foreground's density around it, the rest by ``floor``.
    With plain L2 a one-pixel ball is lost entirely.
    """
    around = F.avg_pool2d(mask_B1HW, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    return torch.where(
        mask_B1HW > 0,
        (1.0 / (around * (2 * radius + 1) ** 2 / 4).clamp_min(0.25)).clamp_min(0.1),
        torch.full_like(mask_B1HW, floor),
    )


def weighted_l1_l2(prediction: torch.Tensor, target: torch.Tensor, weights_B1HW: torch.Tensor) -> torch.Tensor:
    """Mean of weights * (L2 + 0.1 L1), normalised by the weights."""
    error = prediction.float() - target
    per_pixel = (error.square() + 0.1 * error.abs()).mean(1, keepdim=True)
    return (per_pixel * weights_B1HW).sum() / weights_B1HW.sum()


def instability(bounded_P2HWL: torch.Tensor, frames_P2CHW: torch.Tensor, threshold: float = 0.06) -> torch.Tensor:
    """Mean squared distance between the latents of patches that stay as they are from one frame to the next.

    Without it the noise of a compressed film turns 39 % of such patches into another token (docs/films.md), and the
    dynamics drowns in them.

    Args:
        bounded_P2HWL: latents of P pairs of consecutive frames, one unit apart from token to token.
        frames_P2CHW: the frames, in [-1, 1].
        threshold: change of a colour channel up to which a pixel stays as it is.
    """
    size = frames_P2CHW.shape[-1] // bounded_P2HWL.shape[-2]
    change_P1HW = (frames_P2CHW[:, 1] - frames_P2CHW[:, 0]).abs().amax(1, keepdim=True)
    still_PHW = (F.max_pool2d(change_P1HW, size)[:, 0] <= threshold).float()
    distance_PHW = (bounded_P2HWL[:, 1] - bounded_P2HWL[:, 0]).square().sum(-1)
    return (distance_PHW * still_PHW).sum() / still_PHW.sum().clamp_min(1)
