"""Ways to choose frames, compared on the tiny game: what each is, and that a stop and a repeat lose nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genie_env.bundle import save_world
from genie_env.data.episodes import EpisodeStore
from genie_env.measurement import Metric, Subset, pick
from genie_env.world import World
from tests.helpers.held_out import TINY
from training import compare_decoding
from training.compare_decoding import GREEDY, CompareDecodingConfig, Way, compare, ways


@pytest.fixture
def config(world: World, store: EpisodeStore, tmp_path: Path) -> CompareDecodingConfig:
    save_world(world, tmp_path / "world")
    return CompareDecodingConfig(
        str(tmp_path / "world"),
        store.folder,
        out=tmp_path / "decoding",
        temperatures=(1.0,),
        beams=(3,),
        horizons=(1, 4),
        context=6,
        num_clips=3,
        play_rows=2,
        play_steps=8,
        play_horizon=5,
        module="tests.helpers.tiny_game",
        device="cpu",
    )


def test_stopped_comparison_goes_on_and_finds_the_same(
    config: CompareDecodingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compare(config, TINY)
    names = [GREEDY, "temperature 1", "beam 3, 1 pass", "beam 3, 2 passes"]
    assert list(dict.fromkeys(one.source for one in found)) == [*names, "real"]
    assert pick(found, Metric.EXACTLY_ONE, source="real", sprite="ball").value == 1.0
    accuracy = {
        name: pick(found, Metric.CHANGED_TOKEN_ACCURACY, source=name, subset=Subset.BEFORE_SERVE, horizon=4).value
        for name in names
    }
    for name in names[1:]:
        gained = pick(found, Metric.CHANGED_TOKEN_ACCURACY_DIFFERENCE, source=name, horizon=4)
        assert gained.value == pytest.approx(accuracy[name] - accuracy[GREEDY])
    likelihoods = {name: pick(found, Metric.LOG_PROB, source=name).value for name in names}
    assert likelihoods["temperature 1"] < likelihoods[GREEDY] < likelihoods["beam 3, 1 pass"] < 0
    rows = json.loads((config.out / "decoding.json").read_text())
    assert rows == json.loads(json.dumps([one.row() for one in found]))
    text = (config.out / "decoding.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in text for name in names) and "| ball within 2 px | h = 1 | h = 4 |" in text
    with Image.open(config.out / "strips.png") as image:
        assert image.size[1] == 2 * (9 * 65 - 1)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    stopped = dataclasses.replace(config, out=config.out.with_name("stopped"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(compare_decoding, "play_dream", stop)
        compare(stopped, TINY)
    assert [path.name for path in (stopped.out / "ways").iterdir()] == ["greedy.json"]
    again = compare(stopped, TINY)
    # All but the processor's time.
    for ours, theirs in zip(again, found, strict=True):
        assert ours == theirs or ours.metric == theirs.metric == Metric.FRAME_COST
    monkeypatch.setattr(compare_decoding, "predict", stop)
    assert compare(stopped, TINY) == again, "what was dreamed is not dreamed again"
    with pytest.raises(ValueError, match=r"other \['num_clips'\]"):
        compare(dataclasses.replace(stopped, num_clips=2), TINY)


def test_ways_differ_in_what_their_names_say() -> None:
    config = CompareDecodingConfig("pong", Path("data"), beams=(2, 4), passes=(1, 2), temperatures=(0.5,))
    assert [*ways(config)] == [
        Way("greedy", 0.0, 1, None),
        Way("temperature 0.5", 0.5),
        Way("beam 2, 1 pass", 0.0, 2, 1),
        Way("beam 2, 2 passes", 0.0, 2, 2),
        Way("beam 4, 1 pass", 0.0, 4, 1),
        Way("beam 4, 2 passes", 0.0, 4, 2),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("beams", (1,)),
        ("passes", (0,)),
        ("temperatures", (0.0,)),
        ("horizons", ()),
        ("play_horizon", 0),
        ("temperature", 1.0),
        ("decode_steps", 2),
    ],
)
def test_wrong_setting_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        CompareDecodingConfig("pong", Path("data"), **{field: value})


def test_beam_that_cannot_be_kept_is_found_before_anything_is_dreamed(config: CompareDecodingConfig) -> None:
    with pytest.raises(ValueError, match="beam: expected an integer from 1 to 1024, got 2000"):
        compare(dataclasses.replace(config, beams=(2, 2000)), TINY)
    assert not config.out.exists()
