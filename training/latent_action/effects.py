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
    apart_M: torch.Tensor
    """How far the two drawn effects are apart that differ most: how clearly the transition tells codes apart. Not in
    those units, but as what is drawn."""
    place_M2: torch.Tensor
    """Row and column of the middle of what the codes change, in pixels of the drawings."""


def middle(drawn_BACHW: torch.Tensor) -> torch.Tensor:
    """Row and column [B, 2] of the middle of what the codes change: the mean place of the pixels that differ most.

    Args:
        drawn_BACHW: what each code draws, against the mean of all codes.
    """
    changed_BHW = drawn_BACHW.abs().amax(1).mean(1)
    core_BHW = changed_BHW * (changed_BHW > CORE * changed_BHW.amax((1, 2), keepdim=True))
    total_B = core_BHW.sum((1, 2)) + 1e-6
    places = torch.arange(changed_BHW.shape[-1], dtype=changed_BHW.dtype, device=changed_BHW.device)
    return torch.stack([core_BHW.sum(2) @ places / total_B, core_BHW.sum(1) @ places / total_B], dim=1)


def around(differences_BKCHW: torch.Tensor, place_B2: torch.Tensor) -> torch.Tensor:
    """The window around a place: [B, K, F]. For sprites that move or appear, wherever they are."""
    side = differences_BKCHW.shape[-1]
    window = round(CROP * side)
    offsets = torch.arange(window, dtype=place_B2.dtype, device=place_B2.device) - (window - 1) / 2
    y_BW, x_BW = (((place_B2[:, axis, None] + offsets) * 2 + 1) / side - 1 for axis in (0, 1))
    grid_BWW2 = torch.stack(torch.broadcast_tensors(x_BW[:, None, :], y_BW[:, :, None]), -1)
    rows, each = differences_BKCHW.shape[:2]
    cut = F.grid_sample(differences_BKCHW.flatten(1, 2), grid_BWW2, align_corners=False)
    return cut.reshape(rows, each, -1)


def whole(differences_BKCHW: torch.Tensor, place_B2: torch.Tensor) -> torch.Tensor:
    """The whole picture in ``CELLS``² cells, each where it is: [B, K, F]. For scrolling, and changes of colour."""
    del place_B2
    small = F.adaptive_avg_pool2d(differences_BKCHW.flatten(0, 1), CELLS)
    return small.unflatten(0, differences_BKCHW.shape[:2]).flatten(2)


VIEWS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {"around": around, "whole": whole}
"""Ways to look at differences of drawings: (differences_BKCHW, place_B2 of what differs) -> vectors [B, K, F]."""


def effects(drawn_BACHW: torch.Tensor, next_BCHW: torch.Tensor, view: str) -> Effects:
    """Effects of the codes and of what happened, of one batch of transitions.

    Args:
        drawn_BACHW: the next frame drawn under every code.
        next_BCHW: the next frame.
        view: one of :data:`VIEWS`.
    """
    mean_BCHW = drawn_BACHW.mean(1)
    drawn = drawn_BACHW - mean_BCHW[:, None]
    place_B2 = middle(drawn)
    both = torch.cat([drawn, (next_BCHW - mean_BCHW)[:, None]], dim=1)
    vectors = VIEWS[view](both, place_B2)
    size_B = vectors[:, :-1].norm(dim=-1).amax(1) + 1e-3
    apart_B = torch.cdist(vectors[:, :-1], vectors[:, :-1]).amax((1, 2))
    return Effects(vectors[:, :-1] / size_B[:, None, None], vectors[:, -1] / size_B[:, None], apart_B, place_B2)
