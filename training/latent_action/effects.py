"""What each code does to the next frame, relative to the other codes, and what really happened relative to the same.

Works on drawn pictures; knows no models and no labels. In one transition the decoder draws the next frame under every
code. What all drawings share is what the past foretells; what a code adds to their mean is its effect. What the true
next frame adds to the same mean is the effect that was observed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

CROP = 1 / 2
"""Edge of the window around what the codes change, as a share of the picture's."""
CORE = 0.3
"""Pixels whose differences reach this share of the largest one tell where that window lies."""
CELLS = 8
"""Cells along an edge to which the whole picture is averaged down."""


class Effects(NamedTuple):
    """Effects of M transitions as vectors, in units of the largest drawn effect of the transition."""

    drawn_MAF: torch.Tensor
    """What each code draws."""
    observed_MF: torch.Tensor
    """What the next frame shows."""
    size_M: torch.Tensor
    """The largest drawn effect: how clearly the transition tells one code from another."""


def around(differences_BKCHW: torch.Tensor, changed_BHW: torch.Tensor) -> torch.Tensor:
    """The window around what the codes change, wherever it lies: [B, K, F]. For sprites that move or appear."""
    side = changed_BHW.shape[-1]
    core_BHW = changed_BHW * (changed_BHW > CORE * changed_BHW.amax((1, 2), keepdim=True))
    total_B = core_BHW.sum((1, 2)) + 1e-6
    places = torch.arange(side, dtype=changed_BHW.dtype, device=changed_BHW.device)
    window = round(CROP * side)
    offsets = torch.arange(window, dtype=places.dtype, device=places.device) - (window - 1) / 2
    y_BW = ((core_BHW.sum(2) @ places / total_B)[:, None] + offsets) * 2 + 1
    x_BW = ((core_BHW.sum(1) @ places / total_B)[:, None] + offsets) * 2 + 1
    grid_BWW2 = torch.stack(torch.broadcast_tensors(x_BW[:, None, :] / side - 1, y_BW[:, :, None] / side - 1), -1)
    rows, each = differences_BKCHW.shape[:2]
    cut = F.grid_sample(differences_BKCHW.flatten(1, 2), grid_BWW2, align_corners=False)
    return cut.reshape(rows, each, -1)


def whole(differences_BKCHW: torch.Tensor, changed_BHW: torch.Tensor) -> torch.Tensor:
    """The whole picture in ``CELLS``² cells, each where it is: [B, K, F]. For scrolling, and changes of colour."""
    del changed_BHW
    small = F.adaptive_avg_pool2d(differences_BKCHW.flatten(0, 1), CELLS)
    return small.unflatten(0, differences_BKCHW.shape[:2]).flatten(2)


VIEWS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {"around": around, "whole": whole}
"""Ways to look at differences of drawings: (differences_BKCHW, where codes differ_BHW) -> vectors [B, K, F]."""


def effects(drawn_BACHW: torch.Tensor, next_BCHW: torch.Tensor, view: str) -> Effects:
    """Effects of the codes and of what happened, of one batch of transitions.

    Args:
        drawn_BACHW: the next frame drawn under every code.
        next_BCHW: the next frame.
        view: one of :data:`VIEWS`.
    """
    mean_BCHW = drawn_BACHW.mean(1)
    drawn = drawn_BACHW - mean_BCHW[:, None]
    changed_BHW = drawn.abs().amax(1).mean(1)
    both = torch.cat([drawn, (next_BCHW - mean_BCHW)[:, None]], dim=1)
    vectors = VIEWS[view](both, changed_BHW)
    size_B = vectors[:, :-1].norm(dim=-1).amax(1) + 1e-3
    return Effects(vectors[:, :-1] / size_B[:, None, None], vectors[:, -1] / size_B[:, None], size_B)
