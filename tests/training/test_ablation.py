"""The ablation on the tiny world: equal compute, one parent, stops and repeats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from genie_env.bundle import load_world
from genie_env.files.atomic import read_json
from genie_env.games.registry import Game
from genie_env.measurement import Metric, Subset, pick, select
from tests.helpers.held_out import COLOURS
from tests.helpers.worlds import TINY_RECIPE, TinyWorld
from training import ablation
from training.ablation import PARENT, AblationConfig, ablate
from training.dynamics.task import TrainDynamicsConfig
from training.dynamics.variants import CONTINUED, FORCED, FROM_FORCED, VARIANTS
from training.engine.stage import SETTINGS
from training.recipes import RECIPES


@pytest.fixture
def config(tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AblationConfig:
    monkeypatch.setitem(RECIPES, "tiny", TINY_RECIPE)
    monkeypatch.setattr(ablation, "TIMED_UPDATES", 5)
    # Clips short enough for games of one point.
    return AblationConfig(
        recipe="tiny",
        world=str(tiny_world.bundle),
        data=tiny_world.data,
        run=tiny_world.run,
        out=tmp_path / "ablation",
        parent_updates=4,
        budget=4,
        seeds=(1, 2),
        variants=(FORCED, "+ self-rollout"),
        num_clips=6,
        horizons=(1, 3),
        play_rows=2,
        play_steps=5,
        device="cpu",
    )


def test_all_variants_are_trained_from_one_parent_and_measured(config: AblationConfig, tiny_world: TinyWorld) -> None:
    game = Game(load_world(tiny_world.bundle, "cpu").config.source, colours=COLOURS)
    found = ablate(config, game)
    assert list(dict.fromkeys(one.source for one in found)) == [PARENT, FORCED, "+ self-rollout"]
    parent = select(found, source=PARENT)
    assert pick(parent, Metric.UPDATES).value == 0 and pick(parent, Metric.EXACTLY_ONE, sprite="ball").count == 1
    pick(parent, Metric.POSITION_ERROR_DIFFERENCE, sprite="ball", horizon=3)
    ours = select(found, source="+ self-rollout")
    pick(ours, Metric.CHANGED_TOKEN_ACCURACY, subset=Subset.BEFORE_SERVE, horizon=3)
    pick(ours, Metric.POSITION_ERROR, sprite="ball", horizon=1)
    pick(ours, Metric.POSITION_ERROR_DIFFERENCE, sprite="ball", horizon=3)
    assert not select(found, source=FORCED, metric=Metric.POSITION_ERROR_DIFFERENCE)
    assert pick(ours, Metric.EXACTLY_ONE, sprite="ball").count == 2, "one value for each seed"
    assert json.loads((config.out / "ablation.json").read_text()) == json.loads(json.dumps([m.row() for m in found]))
    for name in ("ablation.json", "ablation.md", "ablation.png", "cost.json"):
        assert (config.out / name).stat().st_size > 0
    load_world(config.out / "parent_world", "cpu")
    folders = sorted(path.parent.name for path in config.out.glob(f"*/{SETTINGS}"))
    assert folders == ["parent", "self_rollout-1", "self_rollout-2", "teacher_forcing-1", "teacher_forcing-2"]
    weights = [load_file(config.out / name / "model.safetensors") for name in folders]
    some = "blocks.0.norm_space.weight" if "blocks.0.norm_space.weight" in weights[0] else next(iter(weights[0]))
    assert len({w[some].numpy().tobytes() for w in weights}) == len(folders), "each was trained on"
    load_world(config.out / "self_rollout-1" / "world", "cpu")

    with pytest.raises(ValueError, match=r"holds a run with other \['budget'\]"):
        ablate(replace(config, budget=5), game)

    # A second call trains nothing and finds the same.
    before = {path: path.stat().st_mtime_ns for path in config.out.rglob("model.safetensors")}
    assert str(ablate(config, game)) == str(found)
    changed = [p for p in before if p.stat().st_mtime_ns != before[p] and p.parent.name != "world"]
    assert not changed
    cost = json.loads((config.out / "cost.json").read_text())
    assert set(cost) == set(config.variants) and min(cost.values()) > 0
    assert pick(ours, Metric.UPDATES).value == max(1, round(config.budget * cost[FORCED] / cost["+ self-rollout"]))


def test_another_parent_is_gone_on_from(config: AblationConfig, tiny_world: TinyWorld) -> None:
    given = replace(config, parent=tiny_world.run / "dynamics", seeds=(1,), budget=1, variants=(FORCED,))
    ablate(given, Game(load_world(tiny_world.bundle, "cpu").config.source, colours=COLOURS))
    assert not (config.out / "parent").exists(), "none was trained"
    assert str(tiny_world.run / "dynamics") in (config.out / "ablation.md").read_text(encoding="utf-8")
    # One update from a trained parent, warming up, hardly moves it.
    begun = load_file(tiny_world.run / "dynamics" / "model.safetensors")
    ended = load_file(config.out / "teacher_forcing-1" / "model.safetensors")
    assert max(float((ended[name] - begun[name]).abs().max()) for name in begun) < 0.05


def test_what_a_finished_parent_goes_on_with_is_compared_with_going_on_as_before(
    config: AblationConfig, tiny_world: TinyWorld
) -> None:
    names = (CONTINUED, "loss-drawn clips, corrected", "self-rollout only")
    given = replace(
        config,
        parent=tiny_world.run / "dynamics",
        seeds=(1,),
        budget=2,
        variants=names,
        baseline=CONTINUED,
        rate=0.1,
        batch_size=3,
    )
    found = ablate(given, Game(load_world(tiny_world.bundle, "cpu").config.source, colours=COLOURS))
    assert list(dict.fromkeys(one.source for one in found)) == [PARENT, *names]
    for name in (PARENT, *names[1:]):
        pick(select(found, source=name), Metric.NEAR_DIFFERENCE, sprite="ball", horizon=3)
    assert not select(found, source=CONTINUED, metric=Metric.NEAR_DIFFERENCE)
    assert f"their baseline is {CONTINUED}" in (config.out / "ablation.md").read_text(encoding="utf-8")
    settings = {name: read_json(config.out / f"{ablation._slug(name)}-1" / SETTINGS) for name in names}
    expected = {
        "batch_size": 3,
        "learning_rate": 0.1 * TINY_RECIPE.dynamics_loop.learning_rate,
        "clip_length": TINY_RECIPE.dynamics_training["clip_length"],
        "scheduled_sampling.schedule": "constant",
    }
    for found_settings in settings.values():
        assert {name: found_settings[name] for name in expected} == expected
    corruptions = [settings[name]["corruption"] for name in names]
    assert corruptions == [TINY_RECIPE.dynamics_training["corruption"]] * 2 + [0]
    assert [settings[name]["loss_share"] for name in names] == [0, 0.33, 0]
    cost = read_json(config.out / "cost.json")
    assert set(cost) == {FORCED, *names}, "the unit of the budget, whatever is trained"


def test_variants_differ_in_what_their_names_say() -> None:
    assert VARIANTS[FORCED]["corruption"] == 0 and FROM_FORCED[0] == FORCED
    methods = [VARIANTS[name]["scheduled_sampling"].method for name in FROM_FORCED]
    assert methods == ["none", "none", "two_pass", "self_rollout", "self_rollout"]
    assert [VARIANTS[name]["scheduled_sampling"].curriculum for name in FROM_FORCED][-2:] == [False, True]
    made = {name: replace(TrainDynamicsConfig(), **fields) for name, fields in VARIANTS.items()}
    cross = [FORCED, "+ corruption", "self-rollout only", CONTINUED]
    on = [(made[name].corruption > 0, made[name].scheduled_sampling.method == "self_rollout") for name in cross]
    assert on == [(False, False), (True, False), (False, True), (True, True)]
    for name in tuple(VARIANTS)[tuple(VARIANTS).index(CONTINUED) + 1 :]:
        assert made[name] != made[CONTINUED] and made[name].corruption == made[CONTINUED].corruption
    long = made["32 dreamed frames"]
    assert long.scheduled_sampling.max_frames == 32 == long.clip_length / 2
    assert long.scheduled_sampling.validity == "frame" and made["clips of 64"].clip_length == long.clip_length
    assert len({ablation._slug(name) for name in VARIANTS}) == len(VARIANTS), "each in a folder of its own"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": "chess"}, "recipe: expected one of"),
        ({"variants": ("+ corruption",)}, "variants: expected the baseline, 'teacher forcing', and some of"),
        ({"baseline": "parent continued"}, "variants: expected the baseline, 'parent continued', and some of"),
        ({"rate": 0.0}, "rate: expected a finite number > 0, got 0.0"),
        ({"batch_size": -1}, "batch_size: expected an integer >= 0, got -1"),
        ({"budget": 0}, "budget: expected a whole number >= 1"),
    ],
)
def test_bad_settings_are_named(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(AblationConfig(), **changes)


def test_a_start_of_another_size_is_refused(config: AblationConfig) -> None:
    ablate(replace(config, seeds=(1,), variants=(FORCED,)))
    base = ablation._base(config)
    with pytest.raises(ValueError, match="start_from: expected a dynamics of the size"):
        ablation.train(replace(base, out=config.out / "wrong", model=replace(base.model, width=32)))
