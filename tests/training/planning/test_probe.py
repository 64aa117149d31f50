"""A probe sees a game's actions, rewards, pictures and pace, and turns random repeats off."""

from __future__ import annotations

from typing import NoReturn

import gymnasium as gym
import numpy as np
import pytest

from tests.helpers.fake_game import FakeGame
from tests.helpers.tiny_game import ENV_ID
from training.planning import probe
from training.planning.probe import probe_game, without_sticky_actions


def test_a_few_seconds_of_play_show_what_the_game_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_STEPS", 600)
    seen = probe_game(ENV_ID, {"points": 2})
    assert seen.source.action_meanings == ("NOOP", "UP", "DOWN") and seen.source.effects == (0, 1, 2)
    assert seen.rewards == (-1.0, 0.0, 1.0) and seen.source.fps == 30.0
    assert seen.pictures_MHWC.shape[1:] == (64, 64, 3) and len(seen.pictures_MHWC) > 80
    assert seen.episode_steps and sum(seen.episode_steps) <= seen.num_steps == 600
    assert not seen.was_sticky


def test_random_repeats_are_off_unless_asked_for() -> None:
    gym.register("Sticky-v0", entry_point="nowhere:Nothing", kwargs={"repeat_action_probability": 0.25})
    try:
        assert without_sticky_actions("Sticky-v0", {}) == ({"repeat_action_probability": 0.0}, True)
        asked = {"repeat_action_probability": 0.1}
        assert without_sticky_actions("Sticky-v0", asked) == (asked, True)
        assert without_sticky_actions(ENV_ID, {}) == ({}, False)
    finally:
        del gym.registry["Sticky-v0"]


class Broken(FakeGame):
    """Draws with a package that is not there."""

    def step(self, action: np.int64) -> NoReturn:
        raise NameError("name 'plt' is not defined")


def test_a_game_that_fails_is_named_with_what_it_said() -> None:
    gym.register("Broken-v0", entry_point=f"{__name__}:Broken", kwargs={"length": 25})
    try:
        with pytest.raises(ValueError, match="Broken-v0: the game itself failed as it was played: NameError: name 'pl"):
            probe_game("Broken-v0")
    finally:
        del gym.registry["Broken-v0"]
