"""Recordings: rows are aligned, stores are whole or absent, and batches show a model only what they promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genie_env.config import SourceConfig
from genie_env.data.episodes import NO_ACTION, Episode, EpisodeEntry, EpisodeStore, EpisodeWriter, Manifest
from genie_env.files.atomic import write_json

SOURCE = SourceConfig("Made-up-v0", action_meanings=("A", "B", "C"), effects=(0, 1, 2))


def episode(length: int, seed: int = 0, terminated: bool = True, **overrides: Any) -> Episode:
    rng = np.random.default_rng(seed)
    fields = {
        "frames_THWC": rng.integers(0, 256, (length + 1, 8, 8, 3), dtype=np.uint8),
        "actions_T": rng.integers(0, 3, length),
        "rewards_T": rng.normal(size=length),
        "terminated": terminated,
        "truth": rng.normal(size=(length + 1, 2)),
    }
    return Episode(**{**fields, **overrides})


def store(folder: Path, shards: list[list[Episode]], **settings: Any) -> EpisodeStore:
    writer = EpisodeWriter(folder, SOURCE, ("x", "y"), **settings)
    for index, episodes in enumerate(shards):
        writer.write_shard(index, episodes)
    return writer.finish(len(shards))


def test_rows_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    lengths = [4, 1, 7, 3, 2]
    made = [episode(n, seed=n, terminated=n != 3) for n in lengths]
    opened = store(tmp_path / "data", [made[:3], made[3:]], test_every=3)
    assert [entry.length for entry in opened.manifest.episodes] == [n + 1 for n in lengths]
    assert [entry.shard for entry in opened.manifest.episodes] == [0, 0, 0, 1, 1]
    assert [entry.split for entry in opened.manifest.episodes] == ["train", "train", "test", "train", "train"]
    for entry, original in zip(opened.manifest.episodes, made, strict=True):
        assert np.array_equal(opened.array("frames", entry), original.frames_THWC)
        # Row t holds what happened after frame t; nothing happened after the last frame.
        actions, rewards = opened.array("actions", entry), opened.array("rewards", entry)
        assert actions.tolist() == [*original.actions_T.tolist(), NO_ACTION]
        assert np.array_equal(rewards, np.append(original.rewards_T, 0).astype(np.float32))
        ended = np.flatnonzero(opened.array("terminated", entry)).tolist()
        assert ended == ([entry.length - 2] if original.terminated else []) and entry.terminated == original.terminated
        assert np.array_equal(opened.array("truth", entry), original.truth.astype(np.float32))
    assert opened.truth_column("y") == 1
    with pytest.raises(ValueError, match="'z'"):
        opened.truth_column("z")


def test_arrays_are_memory_mapped_and_read_only(tmp_path: Path) -> None:
    opened = store(tmp_path / "data", [[episode(5)]])
    frames = opened.array("frames", opened.manifest.episodes[0])
    assert isinstance(frames, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"frames_THWC": np.zeros((6, 8, 8, 3), np.float32)}, "uint8.*float32"),
        ({"frames_THWC": np.zeros((6, 8, 8), np.uint8)}, r"H, W, 3"),
        ({"frames_THWC": np.zeros((6, 8, 8, 4), np.uint8)}, r"H, W, 3"),
        ({"frames_THWC": np.zeros((5, 8, 8, 3), np.uint8)}, "5 actions"),
        ({"rewards_T": np.zeros(4)}, "rewards.*5.*4"),
        ({"rewards_T": np.zeros(6)}, "rewards.*5.*6"),
        ({"truth": np.zeros((5, 2))}, "truth|reshape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_anything_counts(
    tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    writer = EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"))
    with pytest.raises(ValueError, match=message):
        writer.write_shard(0, [episode(5, **overrides)])
    assert not writer.has_shard(0) and not (tmp_path / "data").exists()


def test_finished_folder_is_refused_and_other_settings_are_too(tmp_path: Path) -> None:
    EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"), {"seed": 0}).write_shard(0, [episode(3)])
    with pytest.raises(ValueError, match="other settings"):
        EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"), {"seed": 1})
    resumed = EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"), {"seed": 0})
    assert resumed.has_shard(0)
    resumed.finish(1)
    with pytest.raises(ValueError, match="exists already"):
        EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"), {"seed": 0})
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def corrupt(folder: Path, edit: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    write_json(folder / "manifest.json", manifest)


def test_damaged_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing.*manifest.json"):
        EpisodeStore(tmp_path / "nothing")
    folder = store(tmp_path / "data", [[episode(5), episode(3)]]).folder
    manifest, frames = (folder / "manifest.json").read_bytes(), (folder / "00000.frames.npy").read_bytes()

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            EpisodeStore(folder)
        assert str(folder) in str(caught.value)
        (folder / "manifest.json").write_bytes(manifest)
        (folder / "00000.frames.npy").write_bytes(frames)

    for text in ("", "{", "[]", "3"):
        (folder / "manifest.json").write_text(text)
        refused("manifest.json")
    corrupt(folder, lambda m: m.update(format="another"))
    refused("manifest.json.*another")
    corrupt(folder, lambda m: m.update(surprise=1))
    refused("manifest.json.*surprise")
    corrupt(folder, lambda m: m["episodes"].pop())
    refused(r"frames.npy.*expected uint8 \[6, .*got uint8 \[10, ")
    (folder / "00000.frames.npy").write_bytes(frames[: len(frames) // 2])
    refused("frames.npy")
    (folder / "00000.frames.npy").unlink()
    refused("frames.npy")
    np.save(folder / "00000.frames.npy", np.zeros((10, 8, 8, 3)))
    refused("frames.npy.*uint8.*float64")
    np.save(folder / "00000.frames.npy", np.array([{}] * 10), allow_pickle=True)
    refused("frames.npy")
    EpisodeStore(folder)


def test_manifest_survives_json() -> None:
    entries = (EpisodeEntry(0, 0, 5, "random", "train", True), EpisodeEntry(0, 5, 3, "sticky", "test", False))
    manifest = Manifest(SOURCE, ("x",), 1, entries, {"seed": 0, "players": {"random": 0.5}})
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


@pytest.mark.parametrize(("lengths", "held_out"), [([30, 50], 0), ([9, 1, 80, 20], 0), ([5] * 10, 9), ([7], None)])
def test_few_episodes_hold_one_out_that_is_about_a_tenth(
    tmp_path: Path, lengths: list[int], held_out: int | None
) -> None:
    opened = store(tmp_path / "data", [[episode(n)] for n in lengths])
    expected = ["test" if index == held_out else "train" for index in range(len(lengths))]
    assert [entry.split for entry in opened.manifest.episodes] == expected
