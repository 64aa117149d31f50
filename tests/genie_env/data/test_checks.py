"""A recording from anywhere is aligned, in range and undamaged, or refused with the name of the file."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genie_env.data.checks import require_spaces_of
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter
from genie_env.data.manifest import ARRAYS, MANIFEST
from genie_env.files.errors import FileError
from genie_env.files.reading import checksum
from genie_env.play.play_recorder import PlayRecorder
from tests.genie_env.data.test_episodes import SOURCE, corrupt, episode, store
from tests.helpers import tiny_game
from tests.helpers.disks import read_only
from tests.helpers.kills import kills
from tests.helpers.tiny_game import ENV_ID
from tests.helpers.worlds import random_config
from training.record import RecordConfig, record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three episodes in the first shard and one in the second, of as many frames."""
    return store(tmp_path / "data", [[episode(4, 1), episode(2, 2), episode(5, 3)], [episode(13, 4)]]).folder


def first(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["episodes"][0].update(changes)


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "negative start": first(start=-5),
    "far start": first(start=10**12),
    "overlap": lambda m: m["episodes"][1].update(start=2),
    "gap": lambda m: m["episodes"].pop(1),
    "twice the same": lambda m: m["episodes"].append(m["episodes"][0]),
    "no length": first(length=0),
    "negative length": first(length=-1),
    "huge length": first(length=10**30),
    "length that is no number": first(length="5"),
    "unknown split": first(split="TRAIN"),
    "shard beyond the last": first(shard=2),
    "negative shard": first(shard=-1),
    "more shards than episodes": lambda m: m.update(num_shards=10**12),
    "negative shards": lambda m: m.update(num_shards=-1),
    "a shard without episodes": lambda m: (m.update(num_shards=3), m["episodes"].append(m["episodes"][3])),
    "player that is no text": first(player=3),
    "names that command the terminal": lambda m: m.update(truth_names=["\x1b[2J", "y"]),
    "infinite frames a second": lambda m: m["source"].update(fps=float("inf")),
    "module to import": lambda m: m["source"].update(env_id="os:system-v0"),
    "checksum that is no text": lambda m: m["sha256"].update({"00000.frames.npy": 3}),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_that_cannot_be_true_is_refused(folder: Path, name: str) -> None:
    corrupt(folder, MANIFESTS[name])
    with pytest.raises(FileError, match=r"manifest\.json: ") as caught:
        EpisodeStore(folder)
    assert str(caught.value).startswith(str(folder)) and "\n" not in str(caught.value)


def edit(name: str, change: Callable[[np.ndarray], np.ndarray | None]) -> Callable[[Path], object]:
    """Change an array of the first shard in place, or replace it."""

    def apply(folder: Path) -> None:
        path = folder / f"00000.{name}.npy"
        array = np.load(path)
        changed = change(array)
        np.save(path, array if changed is None else changed)

    return apply


def swap(folder: Path) -> None:
    one, other = (folder / f"0000{shard}.terminated.npy" for shard in (0, 1))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


ARRAY_FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "frames of another size in a shard": ("00001.frames", edit("frames", lambda a: a[:, :4])),
    "frames without colours": ("00000.frames", edit("frames", lambda a: a[..., 0])),
    "no rows": ("00000.rewards", edit("rewards", lambda a: a[:0])),
    "action beyond the game's": ("00000.actions", edit("actions", lambda a: a.__setitem__(0, 3))),
    "negative action": ("00000.actions", edit("actions", lambda a: a.__setitem__(0, -1))),
    "action after the end": ("00000.actions", edit("actions", lambda a: a.__setitem__(4, 1))),
    "reward that is no number": ("00000.rewards", edit("rewards", lambda a: a.__setitem__(0, np.nan))),
    "infinite reward": ("00000.rewards", edit("rewards", lambda a: a.__setitem__(0, np.inf))),
    "end in the middle": ("00000.terminated", edit("terminated", lambda a: a.__setitem__(0, True))),
    "infinite truth": ("00000.truth", edit("truth", lambda a: a.__setitem__(0, np.inf))),
    "arrays of two shards exchanged": ("00000.terminated", swap),
    "empty file": ("00000.truth", lambda folder: (folder / "00000.truth.npy").write_bytes(b"")),
    "missing file": ("00001.actions", lambda folder: (folder / "00001.actions.npy").unlink()),
}


@pytest.mark.parametrize("name", ARRAY_FILES)
def test_arrays_that_do_not_fit_are_refused(folder: Path, name: str) -> None:
    damaged, damage = ARRAY_FILES[name]
    damage(folder)
    with pytest.raises(FileError, match=damaged):
        EpisodeStore(folder)


def test_rows_without_ground_truth_are_fine(folder: Path) -> None:
    edit("truth", lambda a: a.__setitem__(0, np.nan))(folder)
    EpisodeStore(folder)


@pytest.mark.parametrize("problem", [{"rewards_T": np.array([np.nan] * 5)}, {"rewards_T": np.array([1e300] * 5)},
                                     {"actions_T": np.array([3] * 5)}, {"actions_T": np.array([-1] * 5)}])  # fmt: skip
def test_what_would_be_refused_is_never_written(tmp_path: Path, problem: dict[str, Any]) -> None:
    writer = EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"))
    with pytest.raises(ValueError, match="expected"):
        writer.write_shard(0, [episode(5, **problem)])
    with pytest.raises(ValueError, match="one size"):
        writer.write_shard(0, [episode(5), episode(5, frames_THWC=np.zeros((6, 4, 4, 3), np.uint8))])
    assert not writer.has_shard(0)


def test_manifest_holds_the_checksum_of_every_array(folder: Path) -> None:
    recorded = EpisodeStore(folder).manifest.sha256
    assert recorded == {path.name: checksum(path) for path in folder.glob("*.npy")} and len(recorded) == 2 * len(ARRAYS)


def test_recording_of_an_older_version_without_checksums_opens(folder: Path) -> None:
    corrupt(folder, lambda manifest: manifest.pop("sha256"))
    assert EpisodeStore(folder).manifest.sha256 == {}


def test_damaged_shard_of_an_interrupted_recording_is_recorded_again(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"))
    for index in range(2):
        writer.write_shard(index, [episode(9, index)])
    rewards = tmp_path / "data.partial" / "00001.rewards.npy"
    rewards.write_bytes(rewards.read_bytes()[:-1] + b"\x01")
    resumed = EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"))
    assert resumed.has_shard(0) and not resumed.has_shard(1) and resumed.has_entries(1)
    with pytest.raises(FileError, match=r"00001\.rewards\.npy: is damaged"):
        resumed.require_shard(1)
    resumed.write_shard(1, [episode(9, 1)])
    assert len(resumed.finish(2).manifest.episodes) == 2


def test_recorder_records_a_damaged_shard_again_and_the_others_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recording(name: str) -> RecordConfig:
        return RecordConfig(tmp_path / name, ENV_ID, steps=90, shard_steps=30, workers=1, module=tiny_game.__name__)

    whole = record(recording("whole"))
    with monkeypatch.context() as patch:
        patch.setattr(EpisodeWriter, "finish", lambda *_: None)
        record(recording("killed"))
    damaged = tmp_path / "killed.partial" / "00001.frames.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x07")
    written: list[int] = []
    write = EpisodeWriter.write_shard

    def counted(self: EpisodeWriter, index: int, episodes: list[Episode]) -> None:
        written.append(index)
        write(self, index, episodes)

    monkeypatch.setattr(EpisodeWriter, "write_shard", counted)
    assert record(recording("killed")).manifest == whole.manifest and written == [1]


def test_damaged_piece_of_interrupted_play_is_refused_and_not_written_over(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path / "data", random_config().source, settings={"player": "human", "world": "random"})
    for index in range(2):
        writer.write_shard(index, [episode(9, index, truth=np.zeros((10, 0)))])
    damaged = tmp_path / "data.partial" / "00000.frames.npy"
    damaged.write_bytes(b"damaged")
    with pytest.raises(FileError, match=r"00000\.frames\.npy: is damaged"):
        PlayRecorder(tmp_path / "data", random_config())
    assert damaged.read_bytes() == b"damaged"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a child process at every step")
def test_recording_that_is_killed_at_any_step_of_its_publication_is_finished_by_the_next(tmp_path: Path) -> None:
    def record(name: str) -> EpisodeWriter:
        writer = EpisodeWriter(tmp_path / name, SOURCE, ("x", "y"))
        for index in range(2):
            if not writer.has_shard(index):
                writer.write_shard(index, [episode(9, index)])
        return writer

    record("whole").finish(2)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    killed = tmp_path / "killed"
    record("killed")
    for step in kills(lambda: record("killed").finish(2), ("rename", "replace", "unlink")):
        if not killed.exists():
            record("killed").finish(2)
        found = {path.name: path.read_bytes() for path in killed.iterdir() if path.name != "settings.json"}
        assert found == whole, f"after {step} steps"
        shutil.rmtree(killed)
        record("killed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def test_second_recorder_of_a_folder_is_refused_and_learns_who_the_first_is(tmp_path: Path) -> None:
    recorder = PlayRecorder(tmp_path / "data", random_config())
    with pytest.raises(ValueError, match=f"data.partial: is in use by process {os.getpid()}"):
        PlayRecorder(tmp_path / "data", random_config())
    recorder.close()
    PlayRecorder(tmp_path / "data", random_config()).close()
    assert list(tmp_path.iterdir()) == []


def test_recording_in_a_folder_that_cannot_be_written_opens(folder: Path) -> None:
    with read_only(folder.parent):
        assert len(EpisodeStore(folder).split("train")) == 3


@pytest.mark.skipif(os.name != "posix", reason="makes files that only POSIX has")
def test_what_is_no_file_is_refused(folder: Path) -> None:
    for name in (MANIFEST, "00000.frames.npy"):
        kept = (folder / name).read_bytes()
        for make in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
            (folder / name).unlink()
            make(folder / name)
            with pytest.raises(FileError, match=name):
                EpisodeStore(folder)
            (folder / name).rmdir() if (folder / name).is_dir() else (folder / name).unlink()
            (folder / name).write_bytes(kept)
    assert json.loads((folder / MANIFEST).read_text())["num_shards"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action_meanings": ("NOOP", "LEFT", "RIGHT"), "keys": {}}, r"has the actions \['NOOP', 'LEFT', 'RIGHT'\]"),
        ({"action_meanings": (*"ABCDEF",), "effects": (), "keys": {}}, "those of the world 'random' are"),
        ({"image_size": 32}, "frames are 32 pixels wide; the world 'random' reads frames of 64"),
    ],
)
def test_play_of_a_game_with_other_frames_or_actions_is_refused(change: dict[str, Any], message: str) -> None:
    world = random_config()
    with pytest.raises(ValueError, match=f"^data: .*{message}"):
        require_spaces_of(world, dataclasses.replace(world.source, **change), Path("data"))


def test_play_with_the_same_spaces_is_taken_and_so_is_a_film() -> None:
    world = random_config()
    film = dataclasses.replace(world.source, action_meanings=(), effects=(), keys={}, has_actions=False)
    for source in (world.source, dataclasses.replace(world.source, env_id="Another-v1"), film):
        require_spaces_of(world, source, Path("data"))
