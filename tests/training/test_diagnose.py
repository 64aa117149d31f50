"""The diagnosis command: ten findings and where dreams leave, as Markdown, JSON and pictures; and attention."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image

from genie_env.bundle import save_world
from genie_env.data.episodes import EpisodeStore
from genie_env.world import World
from tests.helpers.held_out import TINY
from training.diagnose import DiagnoseConfig, attention, diagnose, seen_tokens
from training.evaluation.held_out import HeldOutPlay


@pytest.fixture(scope="module")
def config(world: World, store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> DiagnoseConfig:
    folder = tmp_path_factory.mktemp("command")
    save_world(world, folder / "world")
    return DiagnoseConfig(
        str(folder / "world"), store.folder, out=folder / "findings", module="tests.helpers.tiny_game", quick=True
    )


def test_command_writes_ten_findings_as_markdown_and_strict_json(config: DiagnoseConfig) -> None:
    findings = diagnose(config, TINY)
    assert [f.number for f in findings] == list(range(1, 11))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    stored = json.loads((config.out / "diagnosis.json").read_text(), parse_constant=refuse)
    assert stored == json.loads(json.dumps([f.row() for f in findings]))
    text = (config.out / "diagnosis.md").read_text()
    assert all(f"| {f.number} | {f.theory} |" in text and f.verdict in text for f in findings)
    for name in ("drift.png", "leaving.png", "leaving_strips.png"):
        assert f"]({name})" in text
        with Image.open(config.out / name) as plot:
            assert plot.size[0] > 300
    leaving = json.loads((config.out / "leaving.json").read_text(), parse_constant=refuse)
    assert len(leaving["leaving"]) <= leaving["clips"] and "## Where dreams leave the recording" in text


def test_theories_can_be_left_out(config: DiagnoseConfig, tmp_path: Path) -> None:
    assert diagnose(dataclasses.replace(config, theories=False, out=tmp_path / "found"), TINY) == []
    text = (tmp_path / "found" / "diagnosis.md").read_text()
    assert text.startswith("## Where dreams leave") and not (tmp_path / "found" / "drift.png").exists()


def test_flags_are_those_of_the_analysis() -> None:
    asked = ["pong", "--data", "data/pong", "--num-tests", "20", "--test-masking", "--dynamics-path", "runs/d"]
    config = tyro.cli(DiagnoseConfig, args=asked)
    assert (config.num_tests, config.test_masking, config.dynamics_path) == (20, True, Path("runs/d"))
    assert not tyro.cli(DiagnoseConfig, args=["pong", "--data", "d", "--no-test-masking"]).test_masking
    with pytest.raises(ValueError, match="num_tests"):
        DiagnoseConfig("pong", Path("data"), num_tests=0)


def test_seen_tokens_are_those_of_training_play(held_out: HeldOutPlay) -> None:
    seen_NV = seen_tokens(held_out, 10_000)
    store = held_out.store
    episode = held_out.world.encode(np.array(store.array("frames", store.split("train")[3]))[None])[0]
    assert seen_NV[np.arange(64), episode.numpy()].all()
    assert seen_NV.sum() < seen_NV.size / 10


def test_attention_is_drawn_over_frames(config: DiagnoseConfig) -> None:
    paths = attention(config, TINY)
    assert [path.name for path in paths] == ["attention_space.png", "attention_time.png"]
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.std() > 10
