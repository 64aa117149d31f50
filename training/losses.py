"""Losses of the training stages, each a plain function of tensors."""

from __future__ import annotations

from typing import NamedTuple

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


class TokenLoss(NamedTuple):
    """Cross-entropy over a selection of tokens, and what it says about accuracy."""

    loss: torch.Tensor
    changed_accuracy: torch.Tensor
    accuracy: torch.Tensor


def select_tokens(
    current_BTN: torch.Tensor,
    target_BTN: torch.Tensor,
    masked_BTN: torch.Tensor,
    rate: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose which target tokens to compute a loss on: all that change, a sample of the rest.

    In a game 95 % of all tokens repeat; a vocabulary-wide softmax on each of them is most of a training step and
    teaches nothing. The unchanged ones are sampled and weighted by 1/rate, so the loss keeps its expectation and
    probabilities stay calibrated.

    Returns:
        indices int64 [M] into the flattened [B*T*N], and float weights [M].
    """
    changed = target_BTN != current_BTN
    sampled = torch.rand(target_BTN.shape, generator=generator).to(target_BTN.device) < rate
    chosen = (masked_BTN & (changed | sampled)).flatten().nonzero()[:, 0]
    weights = torch.where(changed.flatten()[chosen], 1.0, 1.0 / rate)
    return chosen, weights


def token_loss(
    logits_MV: torch.Tensor,
    current_M: torch.Tensor,
    target_M: torch.Tensor,
    weights_M: torch.Tensor,
    changed_weight: float,
) -> TokenLoss:
    """Cross-entropy that looks hardest where something may change.

    The weight is ``1 + (changed_weight - 1) * (1 - p(copy))`` with the model's own probability that the token stays
    what it was. It depends on what the model expects, not on what came, so that it does not teach the model to
    expect more changes than there are; weighting by the outcome does, and dreams then grow second balls.
    """
    log_probs_MV = torch.log_softmax(logits_MV.float(), dim=-1)
    nll_M = -log_probs_MV.gather(1, target_M[:, None])[:, 0]
    with torch.no_grad():
        stays_M = log_probs_MV.gather(1, current_M[:, None])[:, 0].exp()
        weights_M = weights_M * (1.0 + (changed_weight - 1.0) * (1.0 - stays_M))
        hit_M = (logits_MV.argmax(-1) == target_M).float()
        changed_M = (current_M != target_M).float()
        changed_accuracy = (hit_M * changed_M).sum() / changed_M.sum().clamp_min(1)
    # Normalising by the number of changed tokens keeps the scale of the loss independent of the sampling rate.
    return TokenLoss((nll_M * weights_M).sum() / changed_M.sum().clamp_min(1), changed_accuracy, hit_M.mean())
