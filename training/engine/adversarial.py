"""Training against a discriminator: settings, losses, and how heavy the model's is (VQGAN, arXiv 2012.09841).

Knows nothing of what is judged, pictures or clips, nor of networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from genie_env.files.json_config import JsonConfig

HEAD_START = 0.1
"""Share of the updates in which a discriminator learns before it teaches: its gradient gets the same norm, whether it
knows anything or not."""
HEAVIEST = 1e4
"""Largest factor of the adversarial loss, for the rare batch in which its gradient vanishes."""


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(JsonConfig):
    """Whether, from when on and how hard a discriminator teaches."""

    adversarial_weight: float = 0.0
    """Strength of a discriminator's gradient at the model's last layer, as a part of the other losses'; 0: no
    discriminator."""
    adversarial_start: float = 0.5
    """Share of the updates before the discriminator teaches; it begins to learn a tenth of the updates earlier."""
    adversarial_rate: float = 1e-3
    """Peak learning rate of the discriminator."""

    def __post_init__(self) -> None:
        if not 0 <= self.adversarial_weight < math.inf:
            raise ValueError(f"adversarial_weight: expected a finite number >= 0, got {self.adversarial_weight!r}")
        if not 0 <= self.adversarial_start <= 1:
            raise ValueError(f"adversarial_start: expected a number in [0, 1], got {self.adversarial_start!r}")
        if not 0 < self.adversarial_rate < math.inf:
            raise ValueError(f"adversarial_rate: expected a finite number > 0, got {self.adversarial_rate!r}")

    def has_discriminator(self, progress: float) -> bool:
        """Whether the discriminator is at work, at ``progress`` 0 .. 1 of the training."""
        return self.adversarial_weight > 0 and progress >= self.adversarial_start - HEAD_START

    def discriminator_teaches(self, progress: float) -> bool:
        """Whether the model learns from it."""
        return self.adversarial_weight > 0 and progress >= self.adversarial_start


class Judgement(NamedTuple):
    """A discriminator's scores, of any shape; higher is more real."""

    real: torch.Tensor
    """Of what is real."""
    made: torch.Tensor
    """Of what the model made, with gradients to the discriminator alone."""
    judged: torch.Tensor | None
    """The same scores with gradients to the model alone, see :func:`judge`; None: the model does not learn."""


def judge(discriminator: nn.Module, *made: torch.Tensor) -> torch.Tensor:
    """A discriminator's scores whose gradient reaches what it is given, and not its own weights."""
    weights = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    return functional_call(discriminator, weights, made)


def adversarial_loss(
    loss: torch.Tensor, scores: Judgement, last_layer: torch.Tensor, weight: float
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The model's loss with its adversarial part, plus the discriminator's hinge loss; and figures to log.

    Args:
        loss: the model's other losses.
        scores: of one batch.
        last_layer: weights of the model at which the gradients of both losses are compared.
        weight: norm of the adversarial gradient there, as a part of the other's.
    """
    hinge = (F.relu(1 - scores.real.float()).mean() + F.relu(1 + scores.made.float()).mean()) / 2
    told = ((scores.real > 0).float().mean() + (scores.made <= 0).float().mean()) / 2
    figures = {"model_loss": loss.detach(), "discriminator_loss": hinge.detach(), "told_apart": told}
    if scores.judged is None:
        return loss + hinge, figures
    unreal = -scores.judged.float().mean()
    ours, theirs = (torch.autograd.grad(x, last_layer, retain_graph=True)[0].norm() for x in (loss, unreal))
    factor = weight * (ours / (theirs + 1e-6)).clamp_max(HEAVIEST)
    return loss + factor * unreal + hinge, {**figures, "adversarial_factor": factor}
