"""One command makes a world of a game, keeps its decisions, and refuses what cannot work before any work."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from genie_env.bundle import read_config
from genie_env.command import WRONG_INPUT
from tests.helpers.tiny_game import ENV_ID
from training import learn as command
from training.evaluate import EvaluateConfig
from training.learn import LearnConfig, learn
from training.planning import budget, game_plan, probe, speed
from training.planning.budget import divide, minutes_for, updates_for
from training.planning.progress import STATE

MINUTES = 0.5


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute for everything: enough to see every stage run."""
    monkeypatch.setattr(budget, "LEAST_MINUTES", 0.1)
    monkeypatch.setattr(game_plan, "LEAST_STEPS", 1500)
    monkeypatch.setattr(game_plan, "MOST_STEPS", 1500)
    monkeypatch.setattr(game_plan, "LEARNER_MINUTES", 50)
    monkeypatch.setattr(probe, "PROBE_STEPS", 500)
    monkeypatch.setattr(speed, "UPDATES", 8)
    whole = command.evaluate

    def evaluate_a_little(config: EvaluateConfig) -> list:
        return whole(dataclasses.replace(config, quick=True))

    monkeypatch.setattr(command, "evaluate", evaluate_a_little)


def settings(folder: Path, **changes: object) -> LearnConfig:
    names = {name: folder / name for name in ("out", "run", "data")}
    return dataclasses.replace(LearnConfig(ENV_ID, MINUTES, module="tests.helpers.tiny_game", **names), **changes)


@pytest.mark.usefixtures("quick")
def test_a_game_becomes_a_world_and_the_same_command_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = learn(settings(tmp_path))
    config = read_config(folder)
    assert config.source.env_id == ENV_ID and config.latent_action is None
    assert config.outcome.rewards == (-1.0, 0.0, 1.0)
    assert (tmp_path / "out_report" / "report.md").exists()
    printed = capsys.readouterr().out
    for text in (
        "found:",
        "chosen:",
        "codebook of",
        "updates of",
        "effect of actions, recall",
        "genie-env play --world",
    ):
        assert text in printed
    kept = json.loads((tmp_path / "run" / STATE).read_text())
    assert set(kept["decided"]) == {"recording", "dynamics", "outcome"}
    assert {"record", "tokenizer", "tokenize", "dynamics", "outcome", "evaluate"} <= set(kept["spent"])
    with pytest.raises(ValueError, match="exists already"):
        learn(settings(tmp_path))
    with pytest.raises(ValueError, match="minutes"):
        learn(settings(tmp_path, minutes=2.0, out=tmp_path / "other"))


@pytest.mark.usefixtures("quick")
def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learn(settings(tmp_path, dry_run=True))
    assert list(tmp_path.iterdir()) == [] and "minutes of 0.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 1.0}, "minutes: expected at least"),
        ({"minutes": float("nan")}, "minutes: expected at least"),
        ({"source": "NoSuchGame-v0", "minutes": 5.0}, "NoSuchGame"),
        ({"module": "no_such_module"}, "no_such_module"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(WRONG_INPUT, match=message):
        learn(settings(tmp_path, **changes))
    assert list(tmp_path.iterdir()) == []


def test_minutes_that_are_left_go_to_the_stages_that_are_left() -> None:
    planned = divide(60, learned_tokenizer=False, latent_action=False)
    assert sum(planned.values()) == pytest.approx(60) and planned["latent_action"] == 0
    assert sum(divide(60, learned_tokenizer=True, latent_action=True).values()) == pytest.approx(60)
    spent = {"record": 20.0, "tokenizer": 1.0, "tokenize": 1.0}
    for stage in ("dynamics", "outcome", "evaluate"):
        spent[stage] = minutes_for(stage, 60, spent, planned)
    assert sum(spent.values()) == pytest.approx(60)
    assert spent["dynamics"] / spent["outcome"] == pytest.approx(planned["dynamics"] / planned["outcome"])
    assert minutes_for("dynamics", 60, {"record": 70.0}, planned) == 0
    long = divide(600, learned_tokenizer=False, latent_action=False)
    assert sum(long.values()) == pytest.approx(600) and long["outcome"] == budget.ENOUGH["outcome"]
    assert minutes_for("outcome", 600, {}, long) <= budget.ENOUGH["outcome"]
    assert updates_for(2, 0.5) == 240 and updates_for(0, 0.5, least=50) == 50
