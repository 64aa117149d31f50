"""Episodes while they are played: rows are aligned, and a cut loses and repeats no transition."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genie_env.config import SourceConfig
from genie_env.data.episode_builder import EpisodeBuilder
from genie_env.data.episodes import EpisodeStore, EpisodeWriter


def frame(number: int) -> np.ndarray:
    return np.full((8, 8, 3), number, dtype=np.uint8)


def played(steps: range, builder: EpisodeBuilder) -> EpisodeBuilder:
    for step in steps:
        builder.add(step % 3, step / 2, frame(step + 1), [10.0 * (step + 1)])
    return builder


def test_a_row_holds_a_frame_and_what_happened_after_it() -> None:
    episode = played(range(4), EpisodeBuilder(frame(0), [0.0])).episode("me", terminated=True)
    assert episode.frames_THWC[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4] and episode.frames_THWC.dtype == np.uint8
    assert episode.actions_T.tolist() == [0, 1, 2, 0] and episode.rewards_T.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert episode.truth.tolist() == [[0.0], [10.0], [20.0], [30.0], [40.0]]
    assert episode.terminated and episode.player == "me"


def test_what_comes_after_a_cut_begins_with_the_frame_and_the_truth_that_the_cut_ended_with() -> None:
    first = played(range(3), EpisodeBuilder(frame(0), [0.0]))
    rest = first.rest()
    assert len(first) == 3 and len(rest) == 0
    played(range(3, 5), rest)
    one, other = first.episode("a", terminated=False), rest.episode("b", terminated=True)
    assert np.array_equal(one.frames_THWC[-1], other.frames_THWC[0]) and one.truth[-1] == other.truth[0]
    whole = played(range(5), EpisodeBuilder(frame(0), [0.0])).episode("c", terminated=True)
    assert [*one.actions_T, *other.actions_T] == whole.actions_T.tolist()
    assert [*one.rewards_T, *other.rewards_T] == whole.rewards_T.tolist()


def test_games_without_truth_are_stored_too(tmp_path: Path) -> None:
    builder = EpisodeBuilder(frame(0))
    builder.add(1, 2.0, frame(1))
    writer = EpisodeWriter(tmp_path / "data", SourceConfig("Made-up-v0"))
    writer.write_shard(0, [builder.episode("me", terminated=False)])
    store: EpisodeStore = writer.finish(1)
    assert store.array("truth", store.manifest.episodes[0]).shape == (2, 0)
