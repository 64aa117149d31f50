"""The ablation on the tiny world: equal compute, one parent, stops and repeats; and its figures on known numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from genie_env.bundle import load_world
from genie_env.games.registry import Game
from tests.helpers.held_out import COLOURS
from tests.helpers.worlds import TINY_RECIPE, TinyWorld
from training import ablation
from training.ablation import FORCED, VARIANTS, AblationConfig, Judged, ablate
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


def test_all_variants_are_trained_from_one_parent_and_judged(config: AblationConfig, tiny_world: TinyWorld) -> None:
    game = Game(load_world(tiny_world.bundle, "cpu").config.source, colours=COLOURS)
    section = ablate(config, game)
    assert list(section.columns) == [FORCED, "+ self-rollout"]
    ours = section.columns["+ self-rollout"]
    assert {"changed-token accuracy before a new serve, h = 3", "ball error, px, h = 1"} <= set(ours)
    assert "ball error minus that of teacher forcing, px, h = 3" in ours
    assert ours["exactly one ball, where any, free play"].count == 2
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
    assert ablate(config, game).to_json() == section.to_json()
    changed = [p for p in before if p.stat().st_mtime_ns != before[p] and p.parent.name != "world"]
    assert not changed
    cost = json.loads((config.out / "cost.json").read_text())
    assert set(cost) == set(config.variants) and min(cost.values()) > 0
    assert ours["updates"].value == max(1, round(config.budget * cost[FORCED] / cost["+ self-rollout"]))


def test_another_parent_is_gone_on_from(config: AblationConfig, tiny_world: TinyWorld) -> None:
    given = replace(config, parent=tiny_world.run / "dynamics", seeds=(1,), budget=1, variants=(FORCED,))
    section = ablate(given, Game(load_world(tiny_world.bundle, "cpu").config.source, colours=COLOURS))
    assert not (config.out / "parent").exists(), "none was trained"
    assert str(tiny_world.run / "dynamics") in section.markdown()
    # One update from a trained parent, warming up, hardly moves it.
    begun = load_file(tiny_world.run / "dynamics" / "model.safetensors")
    ended = load_file(config.out / "teacher_forcing-1" / "model.safetensors")
    assert max(float((ended[name] - begun[name]).abs().max()) for name in begun) < 0.05


def test_figures_pool_seeds_and_leave_out_what_nobody_can_know() -> None:
    # Two clips, two seeds, one horizon; one clip's ball was served again in both seeds.
    errors = np.array([[[1.0], [3.0]], [[np.nan], [np.nan]]])
    hits, changed = np.array([[[2.0], [3.0]], [[0.0], [0.0]]]), np.array([[[4.0], [4.0]], [[0.0], [0.0]]])
    figures = Judged(hits, changed, errors).figures((10,))
    assert figures["changed-token accuracy before a new serve, h = 10"].value == 5 / 8
    assert figures["ball error, px, h = 10"].value == 2.0
    assert figures["ball within 2 px, h = 10"].value == 0.5


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    forced = rng.uniform(0, 40, size=(64, 1, 1))
    nothing = np.zeros_like(forced)
    better = ablation._against(Judged(nothing, nothing, forced - 1), Judged(nothing, nothing, forced), (20,))
    difference = better["ball error minus that of teacher forcing, px, h = 20"]
    # Clips differ by tens of pixels; that the same ones are compared makes one pixel certain.
    assert difference.value == pytest.approx(-1) and -1.01 < difference.low <= difference.high < -0.99


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
