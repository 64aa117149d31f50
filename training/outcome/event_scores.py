"""How well rare events are read: F1 and average precision, where an event may be off by a frame.

Works on arrays; knows nothing of models. Accuracy is not reported: never naming an event has 97 % of it in Pong.
"""

from __future__ import annotations

import numpy as np


def event_counts(predicted_T: np.ndarray, real_T: np.ndarray, tolerance: int = 1) -> np.ndarray:
    """What F1 needs of one episode, int [4]: predicted events, those that are right, real events, those found.

    A prediction is right if a real event lies within ``tolerance`` frames of it, and the other way round.
    """
    at, real_at = np.flatnonzero(predicted_T), np.flatnonzero(real_T)
    near = np.abs(at[:, None] - real_at[None]) <= tolerance
    return np.array([len(at), near.any(1).sum(), len(real_at), near.any(0).sum()])


def f1(predicted: np.ndarray, right: np.ndarray, real: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall from summed :func:`event_counts`; NaN where there was no event at all."""
    precision, recall = right / np.maximum(predicted, 1), found / np.maximum(real, 1)
    score = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return np.where((predicted > 0) | (real > 0), score, np.nan)


class EventScores:
    """F1 and area under the precision-recall curve of reward events and ends, over any number of episodes."""

    def __init__(self, rewards: tuple[float, ...]) -> None:
        self._rewards = np.array(rewards)
        self._counts: dict[str, list[np.ndarray]] = {"reward": [], "termination": []}
        self._chances: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"reward": [], "termination": []}

    def add(self, chances_TR: np.ndarray, ends_T: np.ndarray, rewards_T: np.ndarray, ended_T: np.ndarray) -> None:
        """Count one episode: what the head thinks of each transition, and what happened."""
        read_T = chances_TR.argmax(1)
        real_T = np.abs(rewards_T[:, None] - self._rewards).argmin(1)
        for index in np.flatnonzero(self._rewards):
            self._counts["reward"].append(event_counts(read_T == index, real_T == index))
            self._chances["reward"].append((chances_TR[:, index], real_T == index))
        self._counts["termination"].append(event_counts(ends_T > 0.5, ended_T))
        self._chances["termination"].append((ends_T, ended_T))

    def figures(self) -> dict[str, float]:
        """``reward_f1``, ``reward_auprc``, ``termination_f1``, ``termination_auprc``."""
        found = {f"{name}_f1": float(f1(*np.sum(counts, axis=0))) for name, counts in self._counts.items()}
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
