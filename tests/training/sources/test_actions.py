"""Recorded actions stay what they are if they are discrete; continuous ones fall into groups, the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from training.sources.actions import sort_actions
from training.sources.reader import Wanted

KEEP = Wanted(action_codes=4)


def test_discrete_actions_are_kept() -> None:
    for dtype in (np.int64, np.uint8, np.float32):
        played = np.array([0, 3, 1, 3], dtype)
        actions = sort_actions([played, played[:, None][:2, 0]], KEEP)
        assert len(actions.names) == 4 and actions.codes(played).tolist() == [0, 3, 1, 3]


def test_continuous_actions_fall_into_the_groups_they_come_in_whatever_their_scale() -> None:
    rng = np.random.default_rng(0)
    which = rng.integers(0, 4, 2000)
    centres = np.array([[0, 0], [0, 5000], [0.02, 0], [0.02, 5000]])
    played = centres[which] + rng.normal(0, 1, (2000, 2)) * [0.0005, 100]
    actions = sort_actions([played[:900], played[900:]], KEEP)
    codes = actions.codes(played)
    assert len(actions.names) == 4
    assert all(len(set(codes[which == group])) == 1 for group in range(4))
    assert (sort_actions([played], KEEP).codes(played) == codes).all()


def test_no_more_groups_than_distinct_actions() -> None:
    played = np.array([[0.5], [-0.5], [0.5]])
    actions = sort_actions([played], Wanted(action_codes=8))
    assert len(actions.names) == 2 and actions.codes(played).tolist() == [1, 0, 1]


def test_actions_that_are_ignored_or_missing_are_none_at_all() -> None:
    assert not sort_actions([np.zeros(3, int)], Wanted(actions="ignore")).known
    assert not sort_actions([], KEEP).known


@pytest.mark.parametrize(
    ("played", "message"),
    [
        (np.array([0, -1]), "from 0 to 999, got -1"),
        (np.array([0, 5000]), "from 0 to 999"),
        (np.array([[0.1], [np.nan]]), "finite"),
        (np.array(["a", "b"]), "expected numbers"),
    ],
)
def test_actions_that_are_none_are_refused_with_the_way_out(played: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        sort_actions([played], KEEP)
    assert "--actions ignore" in str(raised.value)
