"""Next frames drawn under codes, and how far off each drawing is."""

from __future__ import annotations

from typing import NamedTuple

import torch

from genie_env.models.latent_action import LatentActionModel
from training.latent_action.pictures import calm_weights, moving_weights


class Drawings(NamedTuple):
    """Errors of the drawings of B transitions under K codes."""

    errors_BK: torch.Tensor
    """Squared, over the pixels, of which those that change weigh most."""
    area_B: torch.Tensor
    """Weight of all pixels of a transition."""
    calm_B: torch.Tensor
    """Weight of each transition among the others."""

    def reconstruction(self, shares_BK: torch.Tensor) -> torch.Tensor:
        """Mean error of a pixel where codes have these shares of each transition; rows sum to 1."""
        return (self.calm_B[:, None] * shares_BK * self.errors_BK).sum() / (self.calm_B * self.area_B).sum()


def draw(model: LatentActionModel, frames_BTCHW: torch.Tensor, codes_BK: torch.Tensor | None = None) -> Drawings:
    """Draw the last frame of each clip from those before it, under the given codes or under every one.

    Args:
        model: draws.
        frames_BTCHW: clips, as the model sees them.
        codes_BK: of each clip; None: all codes there are.
    """
    past, after = frames_BTCHW[:, :-1], frames_BTCHW[:, -1]
    drawn_BKCHW = model.predict_each(past) if codes_BK is None else model.predict_under(past, codes_BK)
    weights = moving_weights(frames_BTCHW[:, -2], after)
    errors_BK = (weights[:, None] * (drawn_BKCHW - after[:, None]).square()).sum((2, 3, 4))
    area_B = weights.sum((1, 2, 3))
    return Drawings(errors_BK, area_B, calm_weights(area_B))
