"""Recorded actions of any kind as a few discrete ones: kept as they are, or continuous ones sorted into groups.

Owns the sorting: each dimension is divided by the spread of its middle nine tenths, and k-means finds the groups
(k-means++ beginnings, one seed, the same groups for the same data). Knows nothing of files.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.sources.reader import Wanted

MOST_ACTIONS = 1000
SAMPLE = 20_000
"""Actions by which groups are found."""
SHOWN = 4
"""Dimensions that the name of a group lists."""


@dataclass(frozen=True)
class Actions:
    """What the actions of a data set become."""

    names: tuple[str, ...] = ()
    """Name of each action; empty: none are known."""
    centres_KA: np.ndarray | None = None
    """Middle of each group of continuous actions, divided by ``scale_A``; None: actions are discrete."""
    scale_A: np.ndarray | None = None

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self.names)

    def codes(self, actions: np.ndarray) -> np.ndarray:
        """Discrete actions int64 [T] of recorded ones [T] or [T, A]."""
        if self.centres_KA is None or self.scale_A is None:
            return np.asarray(actions).reshape(len(actions)).astype(np.int64)
        scaled_TA = _rows(actions) / self.scale_A
        nearest = [
            np.square(part[:, None] - self.centres_KA).sum(-1).argmin(1)
            for part in np.array_split(scaled_TA, max(1, len(scaled_TA) // 4096))
        ]
        return np.concatenate(nearest)


def sort_actions(parts: Sequence[np.ndarray], wanted: Wanted) -> Actions:
    """Decide what the actions of a data set become.

    Args:
        parts: recorded actions [T] or [T, A] of each episode; none where none were recorded.
        wanted: whether to keep them, and how many groups to sort continuous ones into.

    Raises:
        ValueError: if they are no numbers, not finite, of several sizes, or discrete ones are too many or negative.
    """
    if wanted.actions == "ignore" or not parts:
        return Actions()
    if any(part.dtype.kind not in "biuf" for part in parts):
        raise ValueError(f"actions: expected numbers, got {parts[0].dtype}; leave them out with --actions ignore")
    sizes = {part.shape[1:] for part in parts}
    if len(sizes) > 1:
        raise ValueError(f"actions: expected one size, got {sorted(sizes)[:5]}; leave them out with --actions ignore")
    if not all(np.isfinite(part).all() for part in parts if part.dtype.kind == "f"):
        raise ValueError("actions: expected finite numbers, got NaN or infinite ones; see --actions ignore")
    together = np.concatenate([part.reshape(len(part), -1) for part in parts])
    if together.shape[1] == 1 and (together.dtype.kind in "biu" or _is_whole(together)):
        return _discrete(together[:, 0])
    return _grouped(together.astype(np.float64), wanted.action_codes)


def _is_whole(values: np.ndarray) -> bool:
    return bool((values == values.round()).all() and values.min() >= 0 and values.max() < 64)


def _discrete(actions_M: np.ndarray) -> Actions:
    low, high = int(actions_M.min()), int(actions_M.max())
    if low < 0 or high >= MOST_ACTIONS:
        raise ValueError(
            f"actions: expected whole numbers from 0 to {MOST_ACTIONS - 1}, got {low} to {high}; leave them out with "
            "--actions ignore"
        )
    return Actions(tuple(f"ACTION_{number}" for number in range(high + 1)))


def _grouped(actions_MA: np.ndarray, count: int) -> Actions:
    """Groups of continuous actions; equal ones share a group, and each has its own if they are few."""
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(0)
    low_A, high_A = np.quantile(actions_MA, [0.05, 0.95], axis=0)
    spread_A = np.where(high_A > low_A, high_A - low_A, np.ptp(actions_MA, axis=0))
    scale_A = np.where(spread_A > 0, spread_A, 1.0)
    picks = np.sort(rng.choice(len(actions_MA), min(SAMPLE, len(actions_MA)), replace=False))
    scaled_MA = actions_MA[picks] / scale_A
    distinct_UA = np.unique(scaled_MA, axis=0)
    if len(distinct_UA) <= count:
        centres_KA = distinct_UA
    else:
        with warnings.catch_warnings():
            # A group that nothing fell into is left out below.
            warnings.simplefilter("ignore", UserWarning)
            centres_KA, where_M = kmeans2(scaled_MA, count, minit="++", rng=rng)
        centres_KA = centres_KA[np.bincount(where_M, minlength=count) > 0]
        centres_KA = centres_KA[np.lexsort(centres_KA.T[::-1])]
    if len(centres_KA) < 2:
        return Actions(("ACTION_0",), centres_KA, scale_A)
    return Actions(tuple(_name(n, centre_A * scale_A) for n, centre_A in enumerate(centres_KA)), centres_KA, scale_A)


def _name(number: int, centre_A: np.ndarray) -> str:
    listed = " ".join(f"{value:.2f}" for value in centre_A[:SHOWN])
    return f"GROUP_{number}({listed}{' …' if len(centre_A) > SHOWN else ''})"


def _rows(actions: np.ndarray) -> np.ndarray:
    return np.asarray(actions, np.float64).reshape(len(actions), -1)
