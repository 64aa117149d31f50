"""What is chosen by how fast updates are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from genie_env.data.episodes import EpisodeEntry
from training.planning import fitting
from training.planning.fitting import WORTH_COMPILING, Fitting, for_any_machine
from training.recipes import RECIPES, Recipe
from training.stages import STAGES
from training.train import stage_configs

OWN = RECIPES["pong_unlabelled"]


def fitted(monkeypatch: pytest.MonkeyPatch, compiled: float | Exception, minutes: float, recipe: Recipe = OWN) -> Any:
    """The dynamics of a recipe made to fit, where an update takes 0.5 s, or ``compiled``."""

    def seconds(stage: str, config: Any) -> float:
        if config.compile and isinstance(compiled, Exception):
            raise compiled
        return compiled if config.compile and not isinstance(compiled, Exception) else 0.5

    def configure(recipe: Recipe) -> dict[str, Any]:
        folders = {name: Path(name) for name in ("record", *(stage.name for stage in STAGES))}
        return {stage.name: recipe.configure(stage, folders) for stage in STAGES}

    monkeypatch.setattr(fitting, "seconds_per_update", seconds)
    recipe, said = Fitting(configure, minutes, given=True).fit(recipe, "dynamics", minutes)
    folder = Path("run")
    stages = {stage.name: config for stage, config in stage_configs(recipe, folder / "data", folder, folder / "out")}
    assert stages["dynamics"].compile == recipe.dynamics_training.get("compile", False), "what is chosen is done"
    assert "compile" not in for_any_machine(recipe).dynamics_training
    return recipe.dynamics_training.get("compile"), recipe.dynamics_loop.n_updates, "\n".join(said)


def test_the_dynamics_is_compiled_where_updates_are_faster_and_there_are_more_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen, updates, said = fitted(monkeypatch, 0.25, 20)
    assert chosen is True and "takes 0.25 s for an update instead of 0.50 s" in said
    assert updates == pytest.approx(2 * fitted(monkeypatch, 0.49, 20)[1], rel=0.01)


@pytest.mark.parametrize("compiled", [0.49, RuntimeError("no g++"), OSError("read-only")])
def test_it_is_not_compiled_where_that_gains_nothing_or_fails(
    monkeypatch: pytest.MonkeyPatch, compiled: float | Exception
) -> None:
    chosen, _, said = fitted(monkeypatch, compiled, 20)
    assert chosen is None
    assert ("does not work here" in said) == isinstance(compiled, Exception)


def test_it_is_not_compiled_for_a_few_minutes_nor_against_what_a_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitted(monkeypatch, 0.1, WORTH_COMPILING - 1)[0] is None
    for training in ({"compile": False}, {"adversarial_weight": 0.1}):
        asked = dataclasses.replace(OWN, dynamics_training=training)
        assert fitted(monkeypatch, 0.1, 20, asked)[0] is training.get("compile")


def test_dreams_are_told_from_the_game_where_the_classifier_takes_a_third_of_the_measuring_at_most() -> None:
    held_out = [EpisodeEntry(0, 0, 100, "random", "test", terminated=True)]
    rows = {
        (minutes, num_tokens): fitting.measuring(held_out, minutes, num_tokens)["realism_rows"]
        for minutes in (1.2, 4.8, 40.0)
        for num_tokens in (64, 576)
    }
    assert {case for case, count in rows.items() if count} == {(4.8, 64), (40.0, 64), (40.0, 576)}
