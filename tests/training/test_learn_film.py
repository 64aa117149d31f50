"""One command makes a world of a film: imported first, actions learned from pictures, nothing invented."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from genie_env.bundle import read_config
from genie_env.cli import main
from genie_env.data.episodes import EpisodeStore
from genie_env.envs.env import GenieEnv
from genie_env.label.clips import codes_of
from tests.helpers.films import scene, write_film
from training import learn as command
from training.evaluate import EvaluateConfig
from training.learn import LearnConfig, learn, name_of
from training.planning import budget
from training.planning.budget import divide


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than a minute for everything: enough to see every stage run."""
    monkeypatch.setattr(budget, "LEAST_MINUTES", 0.1)
    whole = command.evaluate

    def evaluate_a_little(config: EvaluateConfig) -> list:
        return whole(dataclasses.replace(config, quick=True))

    monkeypatch.setattr(command, "evaluate", evaluate_a_little)


@pytest.mark.usefixtures("quick")
def test_a_film_becomes_a_world_with_latent_actions_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_film(tmp_path / "a.mp4", scene(1050, size=64))
    places = {name: tmp_path / name for name in ("out", "run", "data")}
    config = read_config(learn(LearnConfig(str(film), 0.4, **places)))
    assert config.outcome is None and config.action_map is None and not config.recorded_actions
    assert config.latent_action is not None and config.latent_action.num_actions == config.dynamics.num_actions == 4
    assert not EpisodeStore(tmp_path / "data").manifest.source.has_actions
    printed = capsys.readouterr().out
    for text in ("about 1,050 frames", "not known: which actions", "4 latent actions", "used: 1", "genie-env play"):
        assert text in printed
    assert "no rewards: none was recorded" not in printed and "no episode ended by itself" not in printed
    assert {path.name for path in (tmp_path / "run").iterdir() if path.is_dir()} == {
        "tokenizer",
        "latent_action",
        "tokens",
        "dynamics",
    }
    _is_played_and_labelled(tmp_path / "out", monkeypatch)


def _is_played_and_labelled(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key says what it does; a person's answers become the actions."""
    env = GenieEnv(world=world)
    assert env.options.action_type == "latent" and len(env.action_effects) == 4
    held = {keys for effect in env.action_effects for keys in effect.keys.split()}
    assert len(held) >= 4 and all(effect.keys and effect.name for effect in env.action_effects)
    assert set(env.get_keys_to_action().values()) == {0, 1, 2, 3}
    env.close()
    said = (("left", "right", "up", "down")[code] for code in codes_of(8, 4, 0))
    monkeypatch.setattr("builtins.input", lambda prompt: next(said))
    assert main(["label", str(world), "--clips", "8", "--steps", "2", "--scale", "1"]) == 0
    labelled = GenieEnv(world=world)
    assert labelled.options.action_type == "real"
    assert labelled.get_action_meanings() == ["DOWN", "LEFT", "RIGHT", "UP"]
    labelled.close()


def test_what_cannot_be_a_film_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", scene(60, size=64))
    places = {name: tmp_path / name for name in ("out", "run", "data")}
    with pytest.raises(ValueError, match="67 seconds"):
        learn(LearnConfig(str(film), 10, **places))
    with pytest.raises(ValueError, match="minutes: expected at least"):
        learn(LearnConfig(str(write_film(film, scene(1050, size=64))), 1, **places))
    with pytest.raises(ValueError, match="save_recipe"):
        learn(LearnConfig(str(film), 10, save_recipe=tmp_path / "a.toml", **places))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_minutes_of_an_outcome_head_that_is_not_needed_go_to_the_dynamics() -> None:
    whole, without = divide(60, True, True), divide(60, True, True, outcome=False)
    assert without["outcome"] == 0 and without["dynamics"] == pytest.approx(whole["dynamics"] + whole["outcome"])
    assert sum(without.values()) == pytest.approx(60)


def test_a_world_is_named_after_its_game_or_its_file_without_the_ending(tmp_path: Path) -> None:
    film = tmp_path / "My Run.mp4"
    film.touch()
    (tmp_path / "films.v2").mkdir()
    sources = ("ALE/Freeway-v5", "MinAtar/Breakout-v1", "minari:a/b-v0", str(film), str(tmp_path / "films.v2"))
    assert [name_of(source) for source in sources] == ["freeway", "breakout", "b", "my_run", "films_v2"]
