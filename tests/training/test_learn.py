"""One command makes a world of a game, keeps its decisions, and refuses what cannot work before any work."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from genie_env.bundle import read_config
from genie_env.command import WRONG_INPUT
from genie_env.data.episodes import EpisodeStore
from genie_env.files.atomic import hold_folder
from tests.helpers.tiny_game import ENV_ID
from training import learn as command
from training.data.token_store import TokenStore
from training.evaluate import EvaluateConfig
from training.learn import LearnConfig, learn
from training.planning import budget, game_plan, probe, speed
from training.planning.budget import divide, minutes_for, updates_for
from training.planning.progress import STATE, Progress, write_progress
from training.recipes import RECIPES, Recipe

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
def test_a_slow_tokenizer_reads_as_much_as_fits_and_all_that_is_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.planning.fitting.frames_per_second", lambda _: 1.0)
    monkeypatch.setattr("training.planning.fitting.FEWEST_FRAMES", 900)
    learn(settings(tmp_path))
    assert "tokens of 900 of " in capsys.readouterr().out
    recorded, tokens = EpisodeStore(tmp_path / "data"), TokenStore(tmp_path / "run" / "tokens")
    lengths = {split: [len(e.tokens_TN) for e in tokens.episodes(split)] for split in ("train", "test")}
    assert lengths["test"] == [entry.length for entry in recorded.split("test")]
    assert 0 < sum(lengths["train"]) <= 900 - sum(lengths["test"])


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
    assert set(kept["decided"]) == {"recording", "tokenize", "dynamics", "outcome"}
    assert kept["recipe"]["tokenize"] == {}, "the whole recording fits"
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


@pytest.mark.usefixtures("quick")
def test_a_run_that_was_stopped_while_it_measured_goes_on_with_the_same_command_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(config: EvaluateConfig) -> list:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(command, "evaluate", stopped)
        learn(settings(tmp_path))
    with pytest.raises(ValueError, match="seed 0, now 1"):
        learn(settings(tmp_path, seed=1))
    with hold_folder(tmp_path / "run"), pytest.raises(ValueError, match="in use"):
        learn(settings(tmp_path))
    assert learn(settings(tmp_path)) == tmp_path / "out"
    assert json.loads((tmp_path / "run" / STATE).read_text())["finished"]
    assert (tmp_path / "out_report" / "report.md").exists()


@pytest.mark.parametrize("place", [{"module": "evil_games"}, {"record": {"module": "evil_games"}}])
def test_a_run_from_elsewhere_never_makes_a_module_be_imported(place: dict[str, Any], tmp_path: Path) -> None:
    recipe = dataclasses.replace(Recipe(env=ENV_ID, steps=100), **place)
    write_progress(tmp_path / "run", Progress(ENV_ID, MINUTES, recipe))
    with pytest.raises(ValueError, match=r"learn\.json: needs the Python modules \['evil_games'\].*--module"):
        learn(settings(tmp_path))


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "probe_game", None)
    (tmp_path / "file").touch()
    for name in ("out", "save_recipe"):
        with pytest.raises(OSError, match="file/inner"):
            learn(settings(tmp_path, **{name: tmp_path / "file" / "inner"}))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_world_s_place_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        learn(settings(tmp_path))


@pytest.mark.parametrize(("minutes", "shorter"), [(None, False), (600.0, False), (30.0, True)])
def test_a_recipe_is_shortened_by_minutes_that_are_given_and_never_made_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float | None, shorter: bool
) -> None:
    monkeypatch.setattr("training.planning.fitting.seconds_per_update", lambda stage, config: 0.5)
    config = settings(tmp_path, source="pong_unlabelled", minutes=minutes, module="")
    own = RECIPES["pong_unlabelled"]
    plan, decided = command._first_plan(config, tmp_path / "data")
    progress = Progress(config.source, config.budget, plan.recipe, plan.minutes, {}, decided)
    run = command._Learning(config, tmp_path / "run", tmp_path / "data", tmp_path / "out")
    for stage in ("latent_action", "dynamics", "outcome"):
        progress = run._fit(progress, stage)
        updates, asked = (getattr(recipe, f"{stage}_loop").n_updates for recipe in (progress.recipe, own))
        assert updates < asked if shorter else updates == asked, stage
    naming_updates = progress.recipe.latent_action_training.get("naming_updates")
    assert naming_updates == (progress.recipe.latent_action_loop.n_updates // 2 if shorter else None)
    assert progress.recipe.dynamics_training == own.dynamics_training, "else it is as the recipe says"
