"""Rows of a data set, frame by frame with what is known of each, cut into episodes.

A row is a frame and what happened after it. Where a data set leaves out the picture after an episode's last action,
as those with one row for each step do, the reward of that action counts for the step before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from genie_env.config import SourceConfig
from genie_env.data.episodes import NO_ACTION, Episode
from training.sources.actions import Actions
from training.sources.reader import LEAST_EPISODE, Crop

LONGEST = 4096
"""Frames of the longest episode of a data set that says where episodes end."""


class Rows(NamedTuple):
    """Some rows in a row, T frames."""

    frames_THWC: np.ndarray
    """uint8, of the recording's size."""
    actions_T: np.ndarray
    """int; anything where none is known."""
    rewards_T: np.ndarray
    ended_T: np.ndarray
    """bool, whether the game ended after this row."""
    last_T: np.ndarray
    """bool, whether the next row belongs to another episode."""


def source_of(actions: Actions, has_outcomes: bool, image_size: int, fps: float, crop: Crop | None) -> SourceConfig:
    """What is known of the game."""
    return SourceConfig(
        crop=crop,
        image_size=image_size,
        fps=fps,
        action_meanings=actions.names,
        effects=tuple(range(len(actions.names))),
        has_actions=actions.known,
        has_outcomes=has_outcomes,
    )


def cut_episodes(chunks: Iterable[Rows], source: SourceConfig, longest: int) -> Iterator[Episode]:
    """Episodes of at most ``longest`` frames; those of fewer than :data:`LEAST_EPISODE` frames are left out."""
    waiting: list[Rows] = []
    for chunk in chunks:
        start = 0
        for end in [*(np.flatnonzero(chunk.last_T) + 1).tolist(), len(chunk.last_T)]:
            if end == start:
                continue
            waiting.append(Rows(*(column[start:end] for column in chunk)))
            if chunk.last_T[end - 1]:
                yield from _whole(waiting, source, longest)
                waiting = []
            start = end
        if sum(len(rows.last_T) for rows in waiting) >= longest + LEAST_EPISODE:
            *done, rest = _pieces(_joined(waiting), longest)
            for rows in done:
                yield _episode(rows, source)
            waiting = [rest]
    yield from _whole(waiting, source, longest)


def _whole(waiting: list[Rows], source: SourceConfig, longest: int) -> Iterator[Episode]:
    if waiting:
        for rows in _pieces(_joined(waiting), longest):
            if len(rows.last_T) >= LEAST_EPISODE:
                yield _episode(rows, source)


def _joined(parts: list[Rows]) -> Rows:
    return Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _pieces(rows: Rows, longest: int) -> list[Rows]:
    """Parts of ``longest`` frames; the last one is longer where what is left would be too short."""
    starts = range(0, max(1, len(rows.last_T) - LEAST_EPISODE + 1), longest)
    ends = [*starts[1:], len(rows.last_T)]
    return [Rows(*(column[start:end] for column in rows)) for start, end in zip(starts, ends, strict=True)]


def _episode(rows: Rows, source: SourceConfig) -> Episode:
    steps = len(rows.frames_THWC) - 1
    rewards_T = rows.rewards_T[:steps].astype(np.float32)
    if rows.last_T[-1]:
        rewards_T[-1] += rows.rewards_T[-1]
    terminated = bool(rows.last_T[-1] and rows.ended_T[-2:].any())
    known = source.has_outcomes
    return Episode(
        rows.frames_THWC,
        rows.actions_T[:steps] if source.has_actions else np.full(steps, NO_ACTION),
        rewards_T if known else np.zeros(steps, np.float32),
        terminated and known,
        np.zeros((steps + 1, 0), np.float32),
    )
