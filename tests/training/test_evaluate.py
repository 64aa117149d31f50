"""The evaluation command: a report with every table and its baselines, as a flat table, as Markdown and in pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genie_env.bundle import load_world, save_world
from genie_env.data.episodes import EpisodeStore
from genie_env.measurement import WORLD, Measurement, Metric, Subset, pick, select, stored_measurements
from genie_env.world import World
from tests.helpers.held_out import TINY
from training.evaluate import EvaluateConfig, evaluate

Quick = tuple[list[Measurement], Path]


@pytest.fixture(scope="module")
def quick(world: World, store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> Quick:
    """A quick evaluation of the random world, and its folder."""
    folder = tmp_path_factory.mktemp("quick")
    save_world(world, folder / "world")
    config = EvaluateConfig(
        str(folder / "world"),
        store.folder,
        out=folder / "report",
        context=6,
        module="tests.helpers.tiny_game",
        quick=True,
        write_metrics=True,
    )
    return evaluate(config, TINY), folder / "report"


def test_the_report_holds_every_experiment_and_its_baselines(quick: Quick) -> None:
    found, folder = quick
    sources: dict[str, list[str]] = {}
    for one in found:
        sources.setdefault(one.experiment, []).append(one.source)
    assert {name: list(dict.fromkeys(column)) for name, column in sources.items()} == {
        "action_effect": [WORLD, "copy_last"],
        "coverage": [WORLD],
        "tokenizer": [WORLD, "median"],
        "one_step": [WORLD, "argmax", "copy_last", "median"],
        "dream": [WORLD, "teacher_forced", "copy_last", "forced_copy_last", "median"],
        "latent_actions": [WORLD, "majority"],
        "outcome": [WORLD],
        "free_play": [WORLD, "real", *(["world_over_real"] if select(found, source="world_over_real") else [])],
        "realism": [WORLD, "real"],
        "speed": [WORLD],
        "temperature": [WORLD],
        "decode_steps": [WORLD],
        "action_diversity": [WORLD],
    }
    assert pick(found, Metric.EXACT_FRAMES, source=WORLD).value == 1.0
    assert pick(found, Metric.OBEYS, source="real").value == 1.0
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert text.index("## what actions do") < text.index("## tokenizer"), "what a player sees comes first"
    for head in ("tokenizer", "one step", "horizons", "free play", "speed", "quality against temperature", "Settings"):
        assert f"## {head}\n" in text
    assert "| temperature 0 | temperature 0.25 |" in text
    assert "- horizons: `(1, 2, 5)`" in text


def test_metrics_are_a_flat_strict_table_of_the_same_values(quick: Quick) -> None:
    found, folder = quick

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    rows = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    assert rows == json.loads(json.dumps([one.row() for one in found]))
    assert len({tuple(row) for row in rows}) == 1, "every row has the same columns"
    assert all(not isinstance(value, (dict, list)) for row in rows for value in row.values())
    keys = [tuple(row[k] for k in row if k not in ("value", "low", "high", "count")) for row in rows]
    assert len(set(keys)) == len(keys), "no two rows say the same of different values"


def test_no_two_rows_of_a_table_have_one_label(quick: Quick) -> None:
    found, _ = quick
    labels = [(one.experiment, one.source, one.setting, one.label_with_horizon) for one in found]
    assert len(set(labels)) == len(labels)


def test_sweeps_change_only_what_they_sweep(quick: Quick) -> None:
    found, folder = quick
    settings = {one.experiment: set() for one in found if one.setting is not None}
    for one in found:
        if one.setting is not None:
            settings[one.experiment].add(one.setting)
    assert settings == {"temperature": {0.0, 0.25}, "decode_steps": {1.0, 2.0}, "action_diversity": {0.0, 0.1}}
    # The world's own temperature and no diversity: the free play of the report, as far as a sweep plays it.
    own = pick(found, Metric.REPEATING_ROWS, experiment="free_play", source=WORLD)
    assert pick(found, Metric.REPEATING_ROWS, experiment="action_diversity", setting=0.0).interval == own.interval
    # One step is the world's own setting, so its free play is that of the first diversity, which is none.
    distances = [
        pick(found, Metric.TOKEN_HISTOGRAM_DISTANCE, experiment=name, setting=value).interval
        for name, value in (("decode_steps", 1.0), ("action_diversity", 0.0))
    ]
    assert distances[0] == distances[1]
    assert select(found, experiment="temperature", metric=Metric.POSITION_ERROR, horizon=1, sprite="ball")
    assert not select(found, experiment="action_diversity", metric=Metric.POSITION_ERROR)
    for name in ("horizons.png", "temperature.png", "decode_steps.png", "action_diversity.png"):
        with Image.open(folder / name) as plot:
            assert plot.size[0] > 400


def test_the_bundle_keeps_what_the_world_did_at_its_own_settings(quick: Quick) -> None:
    found, folder = quick
    bundle = folder.parent / "world"
    stored = stored_measurements(load_world(bundle, "cpu").config.metrics)
    assert {one.source for one in stored} == {WORLD} and {one.setting for one in stored} == {None}
    assert "speed" not in {one.experiment for one in stored}
    near = {"experiment": "dream", "horizon": 5, "subset": Subset.BEFORE_SERVE}
    ours = pick(found, Metric.CHANGED_TOKEN_ACCURACY, source=WORLD, **near)
    assert pick(stored, Metric.CHANGED_TOKEN_ACCURACY, **near) == ours
    assert "## free play" in (bundle / "README.md").read_text(encoding="utf-8")


def test_pictures_show_real_frames_over_dreamed_ones(quick: Quick) -> None:
    _, folder = quick
    strip = np.asarray(Image.open(folder / "strip_0.png"))
    # Two rows of four frames (now, h = 1, 2, 5), a line between them, four times enlarged.
    assert strip.shape == (4 * (2 * 65 - 1), 4 * (4 * 65 - 1), 3)
    np.testing.assert_array_equal(strip[: 4 * 64, : 4 * 64], strip[4 * 65 : 4 * 129, : 4 * 64])
    with Image.open(folder / "long_dream.gif") as gif:
        assert gif.size == (256, 256)
    text = (folder / "report.md").read_text(encoding="utf-8")
    names = ("strip_3.png", "real_beside_dream_2_to_5.gif", "horizons.png")
    assert all((folder / name).exists() and f"]({name})" in text for name in names)


def test_sweeps_can_be_left_out() -> None:
    config = EvaluateConfig("pong", Path("data"), sweeps=False).sized()
    assert not config.sweeps and config.horizons == (1, 2, 5, 10, 20, 50, 100)


@pytest.mark.parametrize("option", [{"horizons": (0, 1)}, {"num_clips": 0}, {"horizons": ()}, {"realism_rows": 3}])
def test_impossible_sizes_are_refused_by_name(option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        EvaluateConfig("pong", Path("data"), **option)
