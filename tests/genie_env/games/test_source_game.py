"""The real game as a world sees it, drawn or not."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from genie_env.config import SourceConfig
from genie_env.games import source_game
from genie_env.games.source_game import make_source_game
from tests.helpers import tiny_game

STATES = SourceConfig("CartPole-v1", image_size=24)


def test_a_game_that_is_not_drawn_goes_the_same_way() -> None:
    drawn, undrawn = make_source_game(STATES), make_source_game(STATES)
    first, _ = drawn.reset(seed=3)
    undrawn.begin(seed=3)
    assert np.array_equal(undrawn.frame(), first)
    for action in (0, 1, 1, 0, 1):
        frame, *rest = drawn.step(action)
        assert tuple(rest) == undrawn.play(action)
        assert np.array_equal(drawn.state(), undrawn.state())
        assert np.array_equal(undrawn.frame(), frame)


def test_a_state_is_what_the_game_tells_made_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    game = make_source_game(STATES)
    game.begin(seed=0)
    assert game.state_space is not None and game.state_space.contains(game.state())
    assert np.array_equal(game.state(), game.env.unwrapped.state.astype(np.float32))
    numbered = make_source_game(SourceConfig("FrozenLake-v1", image_size=24))
    numbered.begin(seed=0)
    assert numbered.state().tolist() == [1.0] + 15 * [0.0], "the first of 16 fields"
    monkeypatch.setattr(source_game, "LARGEST_STATE", 15)
    assert numbered.state_space is None, "too many numbers"


def test_pictures_and_what_cannot_be_made_flat_are_no_state() -> None:
    assert make_source_game(SourceConfig(tiny_game.ENV_ID)).state_space is None
    game = make_source_game(STATES)
    game.env.observation_space = gym.spaces.Sequence(gym.spaces.Discrete(3))
    assert game.state_space is None
