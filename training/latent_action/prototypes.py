"""What each code of a finished model does to the picture, measured on drawings: where it moves things, what it adds."""

from __future__ import annotations

import numpy as np
import torch

from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset, background
from training.latent_action.effects import around, middle

SAMPLES, CHUNK = 2048, 256


@torch.no_grad()
def measure_prototypes(
    model: LatentActionModel, data: FrameDataset, seed: int = 0
) -> tuple[tuple[float, float, float], ...]:
    """For each code (right, down, added), as in :class:`LatentActionConfig`: medians over transitions.

    In the window around what the codes change, a drawing's mass is its distance from the median picture. A code moves
    the centre of that mass, and makes the mass more or less, against the mean drawing of all codes.
    """
    indices = np.random.default_rng([seed, 4]).integers(len(data), size=min(SAMPLES, len(data)))
    backdrop_CHW = model.see(torch.from_numpy(background(data.store))[None, None])[0, 0]
    scale = data.store.manifest.source.image_size / model.config.image_size
    found = []
    for start in range(0, len(indices), CHUNK):
        batch = data.at(indices[start : start + CHUNK], model.config.context_frames)
        drawn = model.predict_each(model.see(batch.frames_BTHWC)[:, :-1])
        found.append(motions(drawn, backdrop_CHW, scale))
    medians_A3 = torch.cat(found).median(0).values
    # Medians of differences need not add up to nothing; the mean of all codes is the origin.
    medians_A3 = medians_A3 - medians_A3.mean(0)
    return tuple((round(r, 3), round(d, 3), round(a, 3)) for r, d, a in medians_A3.tolist())


def motions(drawn_BACHW: torch.Tensor, backdrop_CHW: torch.Tensor, scale: float) -> torch.Tensor:
    """(right, down, added) of each drawing against the mean of a transition's drawings: [B, A, 3].

    Args:
        drawn_BACHW: the next frame under each code, in [-1, 1].
        backdrop_CHW: the median picture.
        scale: pixels of a frame in one of the drawings'.
    """
    mean_BCHW = drawn_BACHW.mean(1)
    place_B2 = middle(drawn_BACHW - mean_BCHW[:, None])
    pictures = torch.cat([drawn_BACHW, mean_BCHW[:, None]], dim=1)
    mass_BKHW = (pictures - backdrop_CHW).abs().mean(2)
    rows, each = mass_BKHW.shape[:2]
    window_BKF = around(mass_BKHW[:, :, None], place_B2)
    side = round(window_BKF.shape[-1] ** 0.5)
    mass_BKYX = window_BKF.reshape(rows, each, side, side)
    places = torch.arange(side, dtype=mass_BKYX.dtype)
    total_BK = mass_BKYX.sum((2, 3)) + 1e-3
    right_BK = mass_BKYX.sum(2) @ places / total_BK * scale
    down_BK = mass_BKYX.sum(3) @ places / total_BK * scale
    added_BK = total_BK / total_BK[:, -1:] - 1
    values_BK3 = torch.stack([right_BK, down_BK, added_BK], dim=-1)
    return values_BK3[:, :-1] - values_BK3[:, -1:]
