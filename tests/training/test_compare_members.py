"""The comparison of ensembles on the tiny world: equal cost, all ways measured, nothing trained twice."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from genie_env.bundle import load_world
from genie_env.config import DynamicsShape, EnsembleShape
from genie_env.games.registry import Game
from genie_env.measurement import Metric, Subset, pick, select
from tests.helpers.held_out import COLOURS
from tests.helpers.worlds import TINY_RECIPE, TinyWorld
from training import compare_members
from training.compare_members import FROM_PARENT, FROM_SCRATCH, ONE, PARENT, CompareConfig, compare
from training.dynamics.task import TrainDynamicsConfig, train
from training.engine.stage import load_network
from training.evaluation import member_figures
from training.export import ExportConfig, export
from training.recipes import RECIPES


@pytest.fixture
def config(tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CompareConfig:
    monkeypatch.setitem(RECIPES, "tiny", TINY_RECIPE)
    monkeypatch.setattr(compare_members, "TIMED_UPDATES", 5)
    monkeypatch.setattr(compare_members, "TIMED_ROUNDS", 1)
    monkeypatch.setattr(member_figures, "TIMED_STEPS", 5)
    return CompareConfig(
        data=tiny_world.data,
        tokens=tiny_world.run / "tokens",
        recipe="tiny",
        world=str(tiny_world.bundle),
        out=tmp_path / "members",
        parent=tiny_world.run / "dynamics",
        budget=3,
        tune_budget=3,
        width=32,
        num_heads=2,
        small_width=16,
        small_heads=1,
        num_layers=1,
        clip_length=4,
        seeds=(1,),
        num_clips=6,
        horizons=(1, 6),
        device="cpu",
    )


def test_all_ways_are_trained_at_equal_cost_and_measured_alike(config: CompareConfig, tiny_world: TinyWorld) -> None:
    game = Game(load_world(tiny_world.bundle, "cpu").config.source, colours=COLOURS)
    found = compare(config, game)
    cost = json.loads((config.out / "cost.json").read_text())
    assert list(cost) == list(FROM_SCRATCH + FROM_PARENT) and min(cost.values()) > 0
    for way in FROM_SCRATCH + FROM_PARENT:
        of_way = select(found, source=way)
        for metric in (Metric.NATS, Metric.FRAME_COST, Metric.PARAMETERS, Metric.ENTROPY_AUROC):
            pick(of_way, metric)
        pick(of_way, Metric.CHANGED_TOKEN_ACCURACY, subset=Subset.BEFORE_SERVE, horizon=6)
        pick(of_way, Metric.NEAR, sprite="ball", horizon=6)
        assert bool(select(of_way, metric=Metric.UNCERTAINTY_AUROC)) == way.startswith(("several", "one trunk"))
        budget, unit = (config.budget, ONE) if way in FROM_SCRATCH else (config.tune_budget, FROM_PARENT[0])
        assert pick(of_way, Metric.UPDATES).value == max(1, round(budget * cost[unit] / cost[way]))
    compared = [one.source for one in select(found, metric=Metric.NATS_DIFFERENCE)]
    assert compared == [FROM_SCRATCH[1], FROM_SCRATCH[2], FROM_PARENT[1]]
    assert pick(found, Metric.UPDATES, source=PARENT).value == 0 and select(found, source=PARENT, metric=Metric.NATS)
    parameters = {way: pick(found, Metric.PARAMETERS, source=way).value for way in FROM_SCRATCH + FROM_PARENT}
    assert parameters[FROM_PARENT[1]] == 3 * parameters[FROM_PARENT[0]]
    for name in ("members.json", "members.md"):
        assert (config.out / name).stat().st_size > 0

    # A second call trains nothing.
    before = {path: path.stat().st_mtime_ns for path in config.out.rglob("model.safetensors")}
    again = compare(config, game)
    assert [m.row() for m in again if m.metric != Metric.FRAME_COST] == [
        m.row() for m in found if m.metric != Metric.FRAME_COST
    ]
    assert before == {path: path.stat().st_mtime_ns for path in config.out.rglob("model.safetensors")}
    with pytest.raises(ValueError, match=r"holds a run with other \['small_width'\]"):
        compare(replace(config, small_width=32), game)


@pytest.mark.parametrize("kind", ["networks", "heads"])
def test_members_that_go_on_from_one_dynamics_are_exported_and_played(
    kind: str, tiny_world: TinyWorld, tmp_path: Path
) -> None:
    loop = replace(TINY_RECIPE.dynamics_loop, n_updates=2, warmup=1)
    size = load_network(tiny_world.run / "dynamics", "dynamics")[1]
    chosen = {field.name: getattr(size, field.name) for field in dataclasses.fields(DynamicsShape)}
    members = EnsembleShape.from_json({**chosen, "kind": "ensemble", "members": 3, "member_kind": kind})
    clip_length, start = TINY_RECIPE.dynamics_training["clip_length"], tiny_world.run / "dynamics"
    tokens = tiny_world.run / "tokens"
    settings = TrainDynamicsConfig(tokens, tmp_path / "dynamics", members, loop, clip_length, start_from=start)
    train(replace(settings, device="cpu"))
    export(ExportConfig(tiny_world.data, tmp_path / "world", tiny_world.run, dynamics_path=settings.out))
    assert f"3 {kind}, each of" in (tmp_path / "world" / "README.md").read_text()
    env = gym.make("Genie/World-v0", world=str(tmp_path / "world"))
    env.reset(seed=0)
    uncertainties = [env.step(1)[-1]["uncertainty"] for _ in range(5)]
    assert all(0 <= value < 64 * np.log(3) for value in uncertainties) and max(uncertainties) > 0


def test_bad_settings_are_named() -> None:
    settings = CompareConfig(Path("data"), Path("tokens"))
    for changes, said in (
        ({"recipe": "chess"}, "recipe: expected one of"),
        ({"budget": 0}, "budget: expected a whole"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(settings, **changes)
