"""Scores in the real game beside other players', as JSON, a table and a picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from agents.sb3.policy_io import build_policy, save_policy
from agents.transfer import TransferConfig, markdown, transfer
from genie_env.bundle import read_config
from genie_env.policies.config import policy_config
from genie_env.policies.spec import make_policy_spec


@pytest.fixture(scope="module")
def policy(random_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy on tokens."""
    config = read_config(random_world)
    about = policy_config(config, str(random_world), "ppo", "tokens", make_policy_spec(config, "tokens", "real"))
    folder = tmp_path_factory.mktemp("policies") / "untrained"
    save_policy(folder, build_policy(about), about)
    return folder


def test_transfer_writes_json_table_and_picture(policy: Path, tmp_path: Path) -> None:
    found = transfer(
        TransferConfig(policy, episodes=2, out=tmp_path, real_policy=policy, dream_steps=5, gif_steps=6, device="cpu")
    )
    stored = json.loads((tmp_path / "transfer.json").read_text())
    assert stored["players"] == json.loads(json.dumps([one.row() for one in found], allow_nan=False))
    games, dreams = ([one for one in found if one.where == where] for where in ("real game", "dream"))
    # The tiny game has no scripted heuristic; Pong's is tested with the twin.
    assert [len(one.scores.games) for one in games] == [2, 2, 2, 2, 2]
    assert [one.player.split(", ")[-1] for one in dreams] == ["likeliest actions", "drawn actions"]
    for row in (one.row() for one in games):
        assert row["low"] <= row["mean"] <= row["high"]
    table = (tmp_path / "transfer.md").read_text(encoding="utf-8")
    assert table == markdown(found) and table.count("\n") == 2 + 5 + 2
    with Image.open(tmp_path / "transfer.gif") as picture:
        assert picture.n_frames > 1 and picture.width > picture.height


def test_players_are_scored_in_the_ways_that_are_asked_for(policy: Path, tmp_path: Path) -> None:
    config = TransferConfig(policy, episodes=1, out=tmp_path, dream_steps=5, gif_steps=0, scripted=False)
    for name, other in (("drawn", "likeliest actions"), ("likeliest", "drawn actions")):
        scores = transfer(dataclasses.replace(config, **{name: False}))
        assert {one.player.split(", ")[-1] for one in scores} == {other}
    with pytest.raises(ValueError, match="at least one"):
        TransferConfig(policy, drawn=False, likeliest=False)


def test_transfer_repeats_itself(policy: Path, tmp_path: Path) -> None:
    config = TransferConfig(policy, episodes=2, dream_steps=0, gif_steps=0, device="cpu")
    first, second = (transfer(dataclasses.replace(config, out=tmp_path / name)) for name in "ab")
    assert [one.row() for one in first] == [one.row() for one in second]
