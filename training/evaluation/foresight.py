"""Whether a dream knows that it is about to leave the recording: its own signals against what then goes wrong.

Knows tokens and signals; knows nothing of networks, trainings or reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from genie_env.statistics import Interval, auroc, bootstrap, rank_correlation
from training.evaluation.held_out import Clips

WITHIN = 5
"""Steps ahead that a signal is to tell of, that of its own frame included."""
TOLERANCE = 3
"""Wrong tokens above which a dreamed frame has left the recording, as in scheduled sampling."""


@dataclass(frozen=True)
class Departures:
    """What becomes of every dreamed frame, [C, H'], H' = H - WITHIN + 1."""

    counted: np.ndarray
    """bool, frames whose dream had not left the recording before, and ahead of which nothing is served: a serve is
    random."""
    leaves: np.ndarray
    """bool, whether it leaves within the steps ahead."""
    wrong_ahead: np.ndarray
    """int, wrong tokens at the last of them."""

    @classmethod
    def of(cls, clips: Clips, dreamed_CHN: torch.Tensor) -> Departures:
        """Compare dreams with what really came."""
        wrong_CH = (dreamed_CHN != clips.real_CHN).sum(-1).numpy()
        away_CH = wrong_CH > TOLERANCE
        length = wrong_CH.shape[1] - WITHIN + 1
        ahead_CHK = np.lib.stride_tricks.sliding_window_view(away_CH, WITHIN, axis=1)
        left_before_CH = np.zeros_like(away_CH)
        left_before_CH[:, 1:] = np.logical_or.accumulate(away_CH, axis=1)[:, :-1]
        counted_CH = ~left_before_CH[:, :length] & ~clips.served_CH[:, WITHIN - 1 :]
        return cls(counted_CH, np.asarray(ahead_CHK.any(-1)), wrong_CH[:, WITHIN - 1 :])


def departure_auroc(signals: list[np.ndarray], departures: list[Departures]) -> Interval:
    """How well a signal tells frames whose dream leaves soon from others; clips are resampled.

    Args:
        signals: float [C, H] of each repetition, as by models of several seeds.
        departures: of the same dreams.
    """
    return bootstrap(_over_clips(auroc, signals, departures, "leaves"), len(signals[0]))


def auroc_gain(signals: list[np.ndarray], others: list[np.ndarray], departures: list[Departures]) -> Interval:
    """How much better one signal does that than another of the same dreams, paired; arguments as above."""
    one, other = (_over_clips(auroc, each, departures, "leaves") for each in (signals, others))
    return bootstrap(lambda rows: one(rows) - other(rows), len(signals[0]))


def ahead_correlation(signals: list[np.ndarray], departures: list[Departures]) -> Interval:
    """Rank correlation of a signal with the wrong tokens some steps ahead; arguments as above."""
    return bootstrap(_over_clips(rank_correlation, signals, departures, "wrong_ahead"), len(signals[0]))


def _over_clips(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    signals: list[np.ndarray],
    departures: list[Departures],
    name: str,
) -> Callable[[np.ndarray], float]:
    """A statistic of each repetition's frames, averaged, of the clips that are asked for: every model has its scale."""
    parts = []
    for signal_CH, found in zip(signals, departures, strict=True):
        values_CH = getattr(found, name)
        parts.append((signal_CH[:, : values_CH.shape[1]], values_CH, found.counted))

    def of_rows(rows: np.ndarray) -> float:
        each = [statistic(s[rows][c[rows]], v[rows][c[rows]]) for s, v, c in parts]
        return float(np.mean(each))

    return of_rows
