"""Settings follow what a recording holds: how long its episodes are and which rewards it gives."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from training.planning.plan import MOST_REWARDS, require_enough, reward_classes
from training.planning.recording_facts import RecordingFacts, _common_length


def facts(rewards: dict[float, int]) -> RecordingFacts:
    counts = {0.0: 0, **rewards}
    ordered = tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return RecordingFacts(sum(counts.values()), 10, 20, ordered, 1, 1)


@pytest.mark.parametrize(
    ("lengths", "common"),
    [([50], 50), ([10] * 40 + [200] * 10, 200), ([10] * 90 + [100], 10), ([3, 3, 3, 3], 3), ([1, 1, 1, 9], 9)],
)
def test_three_quarters_of_the_frames_lie_in_episodes_of_the_common_length(lengths: list[int], common: int) -> None:
    assert _common_length(np.array(lengths)) == common
    held = sum(length for length in lengths if length >= common)
    assert held >= 0.75 * sum(lengths) > sum(length for length in lengths if length > common) or common == max(lengths)


def test_rewards_that_repeat_are_classes_of_their_own() -> None:
    assert reward_classes(facts({0.0: 900, 1.0: 60, -1.0: 40})) == ((-1.0, 0.0, 1.0), 0)
    many = {float(reward): 100 - reward for reward in range(1, 13)}
    classes, merged = reward_classes(facts({0.0: 5000, **many}))
    assert classes == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0) and merged == 5


def test_rewards_that_hardly_repeat_are_spread_over_classes() -> None:
    spread = {round(-0.01 * step, 2): 1 for step in range(1, 1601)}
    classes, merged = reward_classes(facts(spread))
    assert len(classes) == MOST_REWARDS + 1 and classes[-1] == 0.0 and merged == 1601 - len(classes)
    assert np.allclose(np.diff(classes[:-1]), 2.0, atol=0.05) and classes[0] == pytest.approx(-15, abs=0.1)


def store(train: list[int], test: list[int]) -> Any:
    splits = {
        name: [SimpleNamespace(length=n) for n in lengths] for name, lengths in (("train", train), ("test", test))
    }
    return SimpleNamespace(folder="data/mine", split=lambda name: splits[name])


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([400, 400], [100], r"at least 1,000 frames and two episodes.* got 900 frames in 3 episodes"),
        ([2000], [], r"one of them to measure on"),
        ([5] * 300, [4] * 20, r"data/mine: expected episodes of 8 frames or more.* the longest have 5 and 4"),
        ([50] * 30, [4] * 20, r"the longest have 50 and 4"),
    ],
)
def test_recordings_that_no_world_can_be_learned_from_are_refused(
    train: list[int], test: list[int], message: str
) -> None:
    found = RecordingFacts(sum(train + test), len(train + test), 5, ((0.0, 1),), 0, 0)
    with pytest.raises(ValueError, match=message):
        require_enough(found, store(train, test))
    require_enough(replace(found, num_frames=1000), store([8], [8]))
