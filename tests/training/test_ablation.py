"""The ablation on the tiny world: equal compute, one parent, stops and repeats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from genie_env.bundle import load_world
from genie_env.games.registry import Game
from genie_env.measurement import Metric, Subset, pick, select
from tests.helpers.held_out import COLOURS
from tests.helpers.worlds import TINY_RECIPE, TinyWorld
from training import ablation
from training.ablation import FORCED, VARIANTS, AblationConfig, ablate
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
    assert list(dict.fromkeys(one.source for one in found)) == [FORCED, "+ self-rollout"]
    ours = select(found, source="+ self-rollout")
    pick(ours, Metric.CHANGED_TOKEN_ACCURACY, subset=Subset.BEFORE_SERVE, horizon=3)
    pick(ours, Metric.POSITION_ERROR, sprite="ball", horizon=1)
    pick(ours, Metric.POSITION_ERROR_DIFFERENCE, sprite="ball", horizon=3)
    assert not select(found, source=FORCED, metric=Metric.POSITION_ERROR_DIFFERENCE)
    assert pick(ours, Metric.EXACTLY_ONE, sprite="ball").count == 2, "one value for each seed"
    assert json.loads((config.out / "ablation.json").read_text()) == json.loads(json.dumps([m.row() for m in found]))
    for name in ("ablation.json", "ablation.md", "ablation.png", "cost.json"):
        assert (config.out / name).stat().st_size > 0
    folders = sorted(path.name for path in config.out.iterdir() if path.is_dir())
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


def test_variants_differ_in_what_their_names_say() -> None:
    assert VARIANTS[FORCED]["corruption"] == 0
    methods = [fields["scheduled_sampling"].method for fields in VARIANTS.values()]
    assert methods == ["none", "none", "two_pass", "self_rollout", "self_rollout"]
    assert [fields["scheduled_sampling"].curriculum for fields in VARIANTS.values()][-2:] == [False, True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": "chess"}, "recipe: expected one of"),
        ({"variants": ("+ corruption",)}, "variants: expected 'teacher forcing' and some of"),
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
