"""Every common action space becomes a short list of its own members, or one line says why not."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from genie_env.games.discrete_actions import MOST, MOST_COMBINED, discrete_actions

SPACES = [
    spaces.Discrete(18),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([3, 2]),
    spaces.MultiDiscrete([5, 5, 5, 5]),
    spaces.MultiDiscrete([[2, 2], [2, 2]]),
    spaces.MultiBinary(4),
    spaces.MultiBinary(12),
    spaces.Box(-1.0, 1.0, (1,), np.float32),
    spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32)),
    spaces.Box(2.0, 5.0, (2,), np.float64),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_action_is_a_member_and_appears_once(space: gym.Space[Any]) -> None:
    values, names = discrete_actions(space)
    assert 2 <= len(values) <= MOST
    assert all(space.contains(value) for value in values)
    assert len({np.asarray(value).tobytes() for value in values}) == len(values) == len(set(names))


def test_small_products_are_complete_and_large_ones_move_one_component_at_a_time() -> None:
    assert len(discrete_actions(spaces.MultiDiscrete([4, 8])).values) == MOST_COMBINED
    values = discrete_actions(spaces.MultiDiscrete([5, 5, 5])).values
    assert len(values) == 1 + 3 * 4 and all(np.count_nonzero(value) <= 1 for value in values)
    buttons = discrete_actions(spaces.MultiBinary(7)).values
    assert len(buttons) == 1 + 7 + 21 and max(int(value.sum()) for value in buttons) == 2


def test_a_steering_wheel_has_a_rest_and_both_ends() -> None:
    values, names = discrete_actions(spaces.Box(-2.0, 2.0, (1,), np.float32))
    assert [float(value[0]) for value in values] == [0.0, -2.0, 2.0]
    assert names == ("REST", "-0", "+0")


def test_own_names_are_kept_where_they_fit() -> None:
    assert discrete_actions(spaces.Discrete(2), ("LEFT", "RIGHT")).names == ("LEFT", "RIGHT")
    assert discrete_actions(spaces.Discrete(2), ("LEFT", "LEFT")).names == ("ACTION_0", "ACTION_1")


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (spaces.Discrete(MOST + 1), "at most"),
        (spaces.MultiDiscrete([2**31 - 1] * 4), "at most"),
        (spaces.MultiBinary(MOST + 5), "at most"),
        (spaces.Box(-np.inf, np.inf, (2,)), "bounds"),
        (spaces.Box(-1, 1, (40,)), "at most"),
        (spaces.Text(5), "wrap the environment"),
        (spaces.Dict({"a": spaces.Discrete(2)}), "wrap the environment"),
    ],
    ids=str,
)
def test_what_cannot_be_listed_is_refused_in_one_line(space: gym.Space[Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        discrete_actions(space)
    assert "\n" not in str(caught.value)
