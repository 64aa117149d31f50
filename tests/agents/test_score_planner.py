"""A planner plays the real game: what it cost and brought is kept, and games are not played twice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from agents import score_planner as module
from agents.score_planner import ScorePlannerConfig, markdown, score_planner
from genie_env.planners.settings import PlannerSettings

QUICK = PlannerSettings(horizon=4, hold=2, rows=4, rounds=1)


def quick(world: Path, out: Path, **changes: object) -> ScorePlannerConfig:
    config = ScorePlannerConfig(str(world), settings=QUICK, games=2, steps=9, out=out, name="p")
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("planner", ["tree", "cem"])
def test_games_are_kept_and_only_missing_ones_are_played(
    random_world: Path, tmp_path: Path, planner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score_planner(quick(random_world, tmp_path / "whole", planner=planner))
    parts = quick(random_world, tmp_path / "parts", planner=planner, games=1)
    score_planner(parts)
    resumed = score_planner(dataclasses.replace(parts, games=2))
    timeless = [{**game, "seconds": 0} for game in whole["games"]]
    assert [{**game, "seconds": 0} for game in resumed["games"]] == timeless
    assert [game["steps"] for game in whole["games"]] == [9, 9]
    assert whole["games"][0]["dreamed_steps"] == 4 * QUICK.dreamed_steps
    assert json.loads((tmp_path / "parts" / "p.json").read_text()) == resumed
    assert planner in markdown(resumed)
    monkeypatch.setattr(module, "evaluate_policy", lambda *_, **__: pytest.fail("played again"))
    assert score_planner(dataclasses.replace(parts, games=2)) == resumed


def test_other_settings_are_refused_and_the_file_stays(random_world: Path, tmp_path: Path) -> None:
    score_planner(quick(random_world, tmp_path, games=1))
    before = (tmp_path / "p.json").read_bytes()
    with pytest.raises(ValueError, match="choose another --name"):
        score_planner(quick(random_world, tmp_path, seed=5))
    assert (tmp_path / "p.json").read_bytes() == before


@pytest.mark.parametrize("changes", [{"games": 0}, {"steps": 0}, {"name": "../up"}])
def test_values_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        quick(tmp_path, tmp_path, **changes)
