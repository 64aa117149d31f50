"""A policy goes into its world's bundle with the score that was measured, or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agents.ship_policy import SCORES, ShipPolicyConfig, ship_policy
from agents.transfer import TransferConfig, transfer
from genie_env.bundled_policy import policy_config_of
from tests.helpers.worlds import make_random_world


@pytest.fixture
def world(random_world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_world, tmp_path / "world"))


@pytest.fixture
def policy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run / "policy", tmp_path / "policy"))


def test_shipped_policy_has_the_score_that_transfer_measured(policy: Path, world: Path) -> None:
    found = transfer(TransferConfig(policy, episodes=3, dream_steps=0, gif_steps=0, scripted=False, device="cpu"))
    ship_policy(ShipPolicyConfig(policy, str(world)))
    about = policy_config_of(world)
    (drawn,) = (one.row() for one in found if one.player.endswith("drawn actions"))
    assert about is not None and about.score is not None
    assert (about.score.mean, about.score.games) == (drawn["mean"], 3)


def test_policy_without_scores_ships_without_one(policy: Path, world: Path) -> None:
    ship_policy(ShipPolicyConfig(policy, str(world)))
    about = policy_config_of(world)
    assert about is not None and about.score is None


@pytest.mark.parametrize(("content", "word"), [({}, "expected what"), ({"policy": {"sha256": "0"}}, "another policy")])
def test_scores_of_another_policy_are_refused(policy: Path, world: Path, content: dict, word: str) -> None:
    (policy / SCORES).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=word):
        ship_policy(ShipPolicyConfig(policy, str(world)))
    assert policy_config_of(world) is None


def test_policy_does_not_go_into_a_world_whose_tokens_mean_something_else(policy: Path, tmp_path: Path) -> None:
    other = make_random_world(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match="whose tokens mean something else"):
        ship_policy(ShipPolicyConfig(policy, str(other)))
    assert policy_config_of(other) is None
