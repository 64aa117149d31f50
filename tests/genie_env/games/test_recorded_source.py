"""One configuration of a game for all commands that record it."""

from __future__ import annotations

import sys
import types
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from genie_env.config import SourceConfig
from genie_env.games.modules import import_games
from genie_env.games.recorded_source import (
    STICKY,
    json_object,
    recorded_source,
    sticky_probability,
    without_sticky_actions,
)
from genie_env.games.source_game import make_source_game
from tests.helpers.tiny_game import ENV_ID


def test_a_source_is_completed_from_what_the_game_says() -> None:
    source = recorded_source(ENV_ID, '{"points": 2}', image_size=32, frame_skip=2, module="tests.helpers.tiny_game")
    assert source.action_meanings == ("NOOP", "UP", "DOWN") and source.effects == (0, 1, 2)
    assert source.env_kwargs == {"points": 2} and source.image_size == 32 and source.crop is None
    assert source.fps == 15.0, "30 frames a second, two of them for each action"
    assert recorded_source(ENV_ID, fps=7.5).fps == 7.5


def test_what_is_known_of_a_registered_game_stays_and_random_repeats_are_off() -> None:
    pytest.importorskip("ale_py")
    source = recorded_source("ALE/Pong-v5")
    assert source.crop == (0, 200, 0, 160) and source.effects == (0, 0, 1, 2, 1, 2) and source.keys
    assert source.env_kwargs == {STICKY: 0.0} and sticky_probability(source) == 0
    asked = recorded_source("ALE/Pong-v5", '{"repeat_action_probability": 0.25}', crop=(0, 210, 0, 160))
    assert sticky_probability(asked) == 0.25 and asked.crop == (0, 210, 0, 160)


def test_old_recordings_that_do_not_say_are_as_sticky_as_their_game_is() -> None:
    assert sticky_probability(SourceConfig("ALE/Nowhere-v5")) == 0.25
    assert sticky_probability(SourceConfig("ALE/Nowhere-v5", env_kwargs={STICKY: 0.0})) == 0
    assert sticky_probability(SourceConfig("Nowhere-v1")) == 0
    gym.register("Sticky-v0", entry_point="nowhere:Nothing", kwargs={STICKY: 0.1})
    try:
        assert sticky_probability(SourceConfig("Sticky-v0")) == 0.1
    finally:
        del gym.registry["Sticky-v0"]


@pytest.mark.parametrize(
    ("text", "message"), [("{", "kwargs: expected JSON"), ("[1]", "kwargs: expected a JSON object")]
)
def test_flags_that_are_no_objects_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        json_object("kwargs", text)


def test_packages_that_register_by_a_function_have_it_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    module = types.ModuleType("games_by_function")
    monkeypatch.setattr(module, "register_envs", lambda: called.append(True), raising=False)
    monkeypatch.setitem(sys.modules, "games_by_function", module)
    for name in ("games_by_function", "games_by_function", ""):
        import_games(name)
    assert called == [True]


def test_sticky_actions_of_another_namespace_are_off_too() -> None:
    assert without_sticky_actions("MinAtar/Breakout-v1", {}) == ({"sticky_action_prob": 0.0}, True)
    assert without_sticky_actions("MinAtar/Breakout-v1", {"sticky_action_prob": 0.1}) == (
        {"sticky_action_prob": 0.1},
        True,
    )


class Cells(gym.Env):
    """Draws ten by ten cells with colours from 0 to 1, as plotting libraries do."""

    metadata: ClassVar[dict] = {"render_modes": ["rgb_array"], "render_fps": 10}
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(0, 1, (3,))

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        return np.zeros(3, np.float32), {}

    def render(self) -> np.ndarray:
        return np.linspace(0, 1, 300).reshape(10, 10, 3)


def test_colours_from_0_to_1_become_bytes() -> None:
    gym.register("Cells-v0", entry_point=Cells)
    try:
        game = make_source_game(SourceConfig(env_id="Cells-v0", image_size=80))
        frame, _ = game.reset()
    finally:
        del gym.registry["Cells-v0"]
    assert frame.shape == (80, 80, 3) and frame.min() == 0 and frame.max() == 255
    assert (frame[:8, :8] == frame[0, 0]).all()
