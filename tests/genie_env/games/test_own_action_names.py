"""Actions have the names that a game, or its documentation, gives them, so that arrows play it."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest

from genie_env.games.discrete_actions import discrete_actions
from genie_env.games.own_action_names import DOCUMENTED, own_action_names
from genie_env.window.keyboard import key_table
from tests.helpers.tiny_game import ENV_ID


class Unnamed(gym.Env):
    """Says nothing of its actions."""

    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Discrete(2)


def of(game: Any) -> tuple[str, ...]:
    return own_action_names(SimpleNamespace(unwrapped=game, spec=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(set(DOCUMENTED) - {"LunarLander"}))
def test_documented_names_are_as_many_as_the_actions(name: str) -> None:
    newest = max(env_id for env_id in gym.registry if env_id.rpartition("-v")[0] == name)
    env = gym.make(newest)
    assert discrete_actions(env.action_space, own_action_names(env)).names == DOCUMENTED[name]
    env.close()


def test_names_come_from_the_game_where_it_has_any() -> None:
    assert own_action_names(gym.make(ENV_ID)) == ("NOOP", "UP", "DOWN")

    class Actions(enum.IntEnum):
        left, right, forward = range(3)

    assert of(SimpleNamespace(actions=Actions)) == ("LEFT", "RIGHT", "FORWARD"), "as MiniGrid has them"
    minatar = SimpleNamespace(env=SimpleNamespace(action_map=["n", "l", "u", "r", "d", "f"]))
    assert of(SimpleNamespace(game=minatar, action_set=[0, 3, 5])) == ("NOOP", "RIGHT", "FIRE")
    assert of(SimpleNamespace(actions=3, game=None)) == ()


def test_a_game_of_that_name_from_elsewhere_has_no_names() -> None:
    gym.register("CartPole-v77", entry_point=f"{__name__}:Unnamed")
    try:
        assert own_action_names(gym.make("CartPole-v77")) == ()
    finally:
        del gym.registry["CartPole-v77"]


def test_arrows_and_letters_play_what_has_a_direction() -> None:
    table = key_table({}, ("LEFT", "FORWARD", "PICKUP"))
    assert table[frozenset(["left"])] == table[frozenset("a")] == 0
    assert table[frozenset(["up"])] == table[frozenset("w")] == 1 and table[frozenset("2")] == 2
