"""What a recording shows that settings should follow: rewards, lengths of episodes, how much changes in a frame.

Owns counts over a recording. Chooses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genie_env.data.episodes import EpisodeStore

COMMON = 0.75
"""Share of the frames that lie in episodes of the common length or longer."""


@dataclass(frozen=True)
class RecordingFacts:
    """Counts over the episodes of a recording."""

    num_frames: int
    num_episodes: int
    common_length: int
    """Three quarters of the frames lie in episodes of at least so many."""
    rewards: tuple[tuple[float, int], ...]
    """Distinct rewards and how often each occurs, the most frequent first; 0 is always among them."""
    num_ends: int
    """Episodes that ended by the game's own rules."""
    held_out_events: int
    """Rewards other than 0 in held-out episodes."""


def recording_facts(store: EpisodeStore) -> RecordingFacts:
    """Count over all episodes of ``store``."""
    lengths = [entry.length for entry in store.manifest.episodes]
    counts: dict[float, int] = {0.0: 0}
    held_out_events = 0
    for split in ("train", "test"):
        for entry in store.split(split):
            values, times = np.unique(store.array("rewards", entry)[:-1], return_counts=True)
            for value, count in zip(values.tolist(), times.tolist(), strict=True):
                counts[float(value)] = counts.get(float(value), 0) + int(count)
            if split == "test":
                held_out_events += int(times[values != 0].sum())
    return RecordingFacts(
        num_frames=sum(lengths),
        num_episodes=len(lengths),
        common_length=_common_length(np.array(lengths)),
        rewards=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        num_ends=sum(entry.terminated for entry in store.manifest.episodes),
        held_out_events=held_out_events,
    )


def _common_length(lengths_E: np.ndarray) -> int:
    """By frames, not by episodes: a player that loses at once makes many episodes of few frames."""
    ascending_E = np.sort(lengths_E)
    frames_E = np.cumsum(ascending_E)
    return int(ascending_E[np.searchsorted(frames_E, (1 - COMMON) * frames_E[-1], side="right")])


def sample_frames(store: EpisodeStore, split: str, count: int, seed: int = 0) -> np.ndarray:
    """Frames drawn evenly from a split, uint8 [M, H, W, 3]; all of them where there are no more than ``count``.

    They are drawn at random: games whose traffic repeats every few frames would fool a regular stride.
    """
    entries = store.split(split)
    ends = np.cumsum([entry.length for entry in entries])
    total = int(ends[-1]) if len(ends) else 0
    rng = np.random.default_rng(seed)
    picks = np.sort(rng.choice(total, min(count, total), replace=False))
    frames = []
    for entry, end in zip(entries, ends, strict=True):
        rows = picks[(picks >= end - entry.length) & (picks < end)] - (end - entry.length)
        if len(rows):
            frames.append(store.array("frames", entry)[rows])
    return np.concatenate(frames)
