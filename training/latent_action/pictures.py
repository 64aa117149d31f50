"""How much each pixel and each transition counts when drawn frames are compared with real ones, and clips that are
shown elsewhere in the picture. Knows no models.
"""

from __future__ import annotations

import numpy as np
import torch


def moving_weights(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """1 where the picture changes, 1/50 elsewhere [B, 1, H, W]: the rest of the picture needs no action."""
    changed = ((after - before).abs().amax(1, keepdim=True) > 0.05).float()
    return changed + 0.02 * (1 - changed)


def calm_weights(area_B: torch.Tensor) -> torch.Tensor:
    """Weight of each transition: one that changes everything, a new screen, would drown all others."""
    return (3 * area_B.median() / area_B).clamp_max(1.0)


def shifted(frames_BTCHW: torch.Tensor, place_B2: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Every second clip moved as a whole, so that what is at ``place_B2`` comes anywhere; the edge is repeated.

    It is then often cut by the picture's edge, as in a game at the ends of its way.

    Args:
        frames_BTCHW: clips.
        place_B2: row and column in each, in pixels; it stays in the picture.
        rng: draws rows and columns, of which none is more than half the picture away.
    """
    rows, side = len(frames_BTCHW), frames_BTCHW.shape[-1]
    there_B2 = torch.from_numpy(rng.integers(side, size=(rows, 2)))
    offsets_B2 = (there_B2 - place_B2.round().long()).clamp(-(side // 2), side // 2)
    offsets_B2[::2] = 0
    places = torch.arange(side)
    y_BH = (places - offsets_B2[:, :1]).clamp(0, side - 1)
    x_BW = (places - offsets_B2[:, 1:]).clamp(0, side - 1)
    each_B = torch.arange(rows)[:, None, None]
    frames_BHWTC = frames_BTCHW.permute(0, 3, 4, 1, 2)
    return frames_BHWTC[each_B, y_BH[:, :, None], x_BW[:, None]].permute(0, 3, 4, 1, 2).contiguous()
