"""How well rare events are read: F1 and average precision, where an event may be off by a frame.

Works on arrays; knows nothing of models. Accuracy is not reported: never naming an event has 97 % of it in Pong.
"""

from __future__ import annotations

import numpy as np


class F1:
    """F1 of rare events; a prediction counts if a real event lies within ``tolerance`` frames of it."""

    def __init__(self, tolerance: int = 1) -> None:
        self._tolerance = tolerance
        self._hits_predicted = self._predicted = self._hits_real = self._real = 0

    def add(self, predicted_T: np.ndarray, real_T: np.ndarray) -> None:
        """Count one episode."""
        at, real_at = np.flatnonzero(predicted_T), np.flatnonzero(real_T)
        near = np.abs(at[:, None] - real_at[None]) <= self._tolerance
        self._hits_predicted += int(near.any(1).sum())
        self._hits_real += int(near.any(0).sum())
        self._predicted += len(at)
        self._real += len(real_at)

    def value(self) -> float:
        """Harmonic mean of precision and recall; NaN where there was nothing to find and nothing was found."""
        if not self._predicted and not self._real:
            return float("nan")
        precision = self._hits_predicted / max(1, self._predicted)
        recall = self._hits_real / max(1, self._real)
        return 2 * precision * recall / max(1e-9, precision + recall)


class EventScores:
    """F1 and area under the precision-recall curve of reward events and ends, over any number of episodes."""

    def __init__(self, rewards: tuple[float, ...]) -> None:
        self._rewards = np.array(rewards)
        self._f1 = {"reward": F1(), "termination": F1()}
        self._chances: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"reward": [], "termination": []}

    def add(self, chances_TR: np.ndarray, ends_T: np.ndarray, rewards_T: np.ndarray, ended_T: np.ndarray) -> None:
        """Count one episode: what the head thinks of each transition, and what happened."""
        read_T = chances_TR.argmax(1)
        real_T = np.abs(rewards_T[:, None] - self._rewards).argmin(1)
        for index in np.flatnonzero(self._rewards):
            self._f1["reward"].add(read_T == index, real_T == index)
            self._chances["reward"].append((chances_TR[:, index], real_T == index))
        self._f1["termination"].add(ends_T > 0.5, ended_T)
        self._chances["termination"].append((ends_T, ended_T))

    def figures(self) -> dict[str, float]:
        """``reward_f1``, ``reward_auprc``, ``termination_f1``, ``termination_auprc``."""
        found = {f"{name}_f1": f1.value() for name, f1 in self._f1.items()}
        return found | {f"{name}_auprc": average_precision(parts) for name, parts in self._chances.items()}


def average_precision(parts: list[tuple[np.ndarray, np.ndarray]], tolerance: int = 1) -> float:
    """Area under the precision-recall curve, where a frame is right if an event lies within ``tolerance`` of it.

    Args:
        parts: per episode, scores [T] and whether an event happened, bool [T].
        tolerance: frames.

    Returns:
        NaN where there is no event.
    """
    scores, right, found = [], [], []
    for scores_T, real_T in parts:
        padded = np.pad(np.asarray(scores_T, dtype=np.float64), tolerance, constant_values=-np.inf)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * tolerance + 1)
        near = np.lib.stride_tricks.sliding_window_view(np.pad(real_T, tolerance), 2 * tolerance + 1)
        scores.append(scores_T)
        right.append(near.any(1))
        found.append(around[np.asarray(real_T, dtype=bool)].max(1))
    score_M, right_M, found_E = np.concatenate(scores), np.concatenate(right), np.concatenate(found)
    if not len(found_E):
        return float("nan")
    order_M = np.argsort(-score_M, kind="stable")
    precision_M = right_M[order_M].cumsum() / np.arange(1, len(score_M) + 1)
    # Each event adds the precision at the threshold that just finds it.
    taken_E = np.searchsorted(-score_M[order_M], -found_E, side="right")
    return float(precision_M[taken_E - 1].mean())
