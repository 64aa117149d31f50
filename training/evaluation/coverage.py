"""How much of what a game shows a recording has seen, and how rare each token is.

A *place* is a token at a position of the frame. A world cannot dream what its recording never showed: a player that
was never in the upper half of the picture cannot arrive there.

Owns counts of places. Knows nothing of games.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genie_env.measurement import Measurement, Metric, with_fields
from training.data.dataset import FrameDataset
from training.evaluation.array_metrics import count_places
from training.evaluation.held_out import HeldOutPlay

COVERAGE = "coverage"
TRAINING_FRAMES = 20_000
SEEN = 3
"""Times a place must occur in the training episodes to count as seen."""


class Coverage(NamedTuple):
    """Share of held-out play that the training episodes cover."""

    places: float
    """Share of the distinct places of held-out frames that were seen."""
    frames: float
    """Share of held-out frames in which every place was seen."""
    rare: float
    """Share of the distinct places of held-out frames that occur in less than one of 1,000 training frames."""


def measure_coverage(play: HeldOutPlay, seed: int, frames: int = TRAINING_FRAMES) -> list[Measurement]:
    """Places of the held-out episodes in as many frames drawn from the training episodes."""
    data = FrameDataset(play.store, "train")
    drawn_MHWC = data.frames(np.random.default_rng(seed), min(frames, len(data)))
    train_MN = play.world.encode(drawn_MHWC[:, None])[:, 0].cpu().numpy()
    held_out_MN = np.concatenate([episode.tokens_TN.numpy() for episode in play.episodes])
    found = coverage(count_places(train_MN, play.world.config.tokenizer.vocab_size), held_out_MN)
    return with_fields(
        [
            Measurement.of(Metric.PLACES_SEEN, found.places),
            Measurement.of(Metric.FRAMES_SEEN, found.frames),
            Measurement.of(Metric.RARE_PLACES, found.rare),
        ],
        experiment=COVERAGE,
    )


def coverage(train_NV: np.ndarray, held_out_MN: np.ndarray) -> Coverage:
    """Compare held-out frames with the training episodes' counts of :func:`count_places`."""
    positions_N = np.arange(held_out_MN.shape[1])
    count_MN = train_NV[positions_N, held_out_MN]
    distinct_NV = count_places(held_out_MN, train_NV.shape[1]) > 0
    frames = train_NV.sum(1)[:, None]
    return Coverage(
        places=float((train_NV[distinct_NV] >= SEEN).mean()),
        frames=float((count_MN >= SEEN).all(1).mean()),
        rare=float((train_NV < frames / 1000)[distinct_NV].mean()),
    )


def surprisal(train_NV: np.ndarray) -> np.ndarray:
    """Rarity of each token at each position in nats, float [N, V]: -log of its share of frames, smoothed by one."""
    shares_NV = (train_NV + 1) / (train_NV.sum(1, keepdims=True) + train_NV.shape[1])
    return -np.log(shares_NV)
