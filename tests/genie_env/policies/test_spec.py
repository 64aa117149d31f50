"""A policy's actions are those of dream and game alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from genie_env.bundle import read_config, save_world
from genie_env.policies.spec import PolicySpec, game_spec, make_policy_spec
from tests.helpers.worlds import random_config
from tests.helpers.worlds import random_world as make_world


def test_actions_of_one_effect_are_one_action_of_the_policy() -> None:
    spec = make_policy_spec(read_config("pong"), "grayscale", "real")
    assert spec.num_actions == 3 and spec.dream_actions == spec.real_actions
    assert game_spec(read_config("pong")).num_actions == 6


def test_a_world_without_a_map_says_what_to_do(tmp_path: Path) -> None:
    folder = save_world(make_world(action_map=None), tmp_path / "unmapped")
    with pytest.raises(ValueError, match=r"agents\.fit_action_map"):
        make_policy_spec(read_config(folder), "tokens", "latent")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs_type": "sound"}, "obs_type: expected one of"),
        ({"frame_stack": 0}, "frame_stack: expected an integer from 1 to 64, got 0"),
        ({"real_actions": (0,)}, "as many dream actions as real ones"),
    ],
)
def test_settings_are_checked(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PolicySpec(
            **{"obs_type": "rgb", "action_type": "real", "dream_actions": (0, 1), "real_actions": (0, 1), **changes}
        )


def test_actions_of_equal_effect_are_merged_and_codes_are_not() -> None:
    config = random_config()
    source = dataclasses.replace(config.source, effects=(0, 1, 0))
    spec = make_policy_spec(dataclasses.replace(config, source=source), "grayscale", "real")
    assert spec.dream_actions == spec.real_actions == (0, 1)
    latent = make_policy_spec(config, "grayscale", "latent")
    assert latent.dream_actions == (0, 1, 2) and latent.real_actions == (2, 0, 1)
    with pytest.raises(ValueError, match="no action map"):
        make_policy_spec(dataclasses.replace(config, action_map=None), "grayscale", "real")
