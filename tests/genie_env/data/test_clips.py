"""Clips are drawn from all places where they fit, each as often as any other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genie_env.data.clips import ClipPlaces, draw_clips
from genie_env.data.episodes import EpisodeStore


@given(st.lists(st.integers(1, 9), max_size=6), st.integers(1, 9), st.integers(0, 3))
def test_places_are_those_where_a_clip_fits(lengths: list[int], length: int, padding: int) -> None:
    expected = [(e, t) for e, n in enumerate(lengths) for t in range(-padding, n - length + 1)]
    if not expected:
        with pytest.raises(ValueError, match=f"no episode has {length - padding} frames"):
            ClipPlaces(lengths, length, padding)
        return
    places = ClipPlaces(lengths, length, padding)
    assert len(places) == len(expected)
    assert list(map(tuple, places.at(np.arange(len(places))).tolist())) == expected


def test_each_place_is_as_likely_as_any_other() -> None:
    drawn = ClipPlaces([5, 1, 30], 4).draw(np.random.default_rng(0), 20_000)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 2 + 27 and counts.min() > 0.8 * counts.mean() and counts.max() < 1.2 * counts.mean()


def test_clips_of_a_recording_lie_in_its_episodes(store: EpisodeStore) -> None:
    drawn = draw_clips(store, "test", np.random.default_rng(0), 50, 5)
    assert len(drawn) == 50
    assert all(entry.split == "test" and 0 <= first <= entry.length - 5 for entry, first in drawn)
    with pytest.raises(ValueError, match=f"{store.folder}: test split: no episode has 100000 frames"):
        draw_clips(store, "test", np.random.default_rng(0), 50, 100_000)
