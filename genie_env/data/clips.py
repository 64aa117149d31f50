"""Clips of one length drawn from episodes, each place as likely as any other. Knows lengths; reads nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genie_env.data.episodes import EpisodeEntry, EpisodeStore


class ClipPlaces:
    """All places where a clip of one length fits into episodes, numbered episode by episode."""

    def __init__(self, episode_lengths: Sequence[int], length: int, padding: int = 0) -> None:
        """Count the places.

        Args:
            episode_lengths: frames of each episode.
            length: frames of a clip.
            padding: frames by which a clip may begin before its episode.

        Raises:
            ValueError: if no episode is long enough.
        """
        self.length, self.padding = length, padding
        self.room_E = np.maximum(np.asarray(episode_lengths, dtype=np.int64) + padding - length + 1, 0)
        """Places in each episode."""
        self._ends_E = np.cumsum(self.room_E)
        if not len(self):
            longest = max(episode_lengths, default=0)
            raise ValueError(
                f"no episode has {length - padding} frames, the longest has {longest}; "
                "record longer ones or shorten the clips"
            )

    def __len__(self) -> int:
        """Number of places."""
        return int(self._ends_E[-1]) if len(self._ends_E) else 0

    def at(self, indices_M: np.ndarray) -> np.ndarray:
        """Places number ``indices_M`` as int64 [M, 2]: episode, and first frame (negative: before the episode)."""
        episodes_M = np.searchsorted(self._ends_E, indices_M, side="right")
        first_M = indices_M - (self._ends_E - self.room_E)[episodes_M] - self.padding
        return np.stack([episodes_M, first_M], axis=-1)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Random places, int64 [count, 2] as in :meth:`at`."""
        return self.at(rng.integers(len(self), size=count))


def draw_clips(
    store: EpisodeStore, split: str, rng: np.random.Generator, count: int, length: int
) -> list[tuple[EpisodeEntry, int]]:
    """Random clips of a split of a recording: ``count`` episodes, each with the clip's first frame.

    Raises:
        ValueError: if no episode of the split has ``length`` frames; names the recording.
    """
    entries = store.split(split)
    try:
        places = ClipPlaces([entry.length for entry in entries], length)
    except ValueError as error:
        raise ValueError(f"{store.folder}: {split} split: {error}") from None
    return [(entries[episode], int(first)) for episode, first in places.draw(rng, count)]
