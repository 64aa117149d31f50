"""Arrays of any usual layout become the same recording; what is damaged or no picture is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genie_env.data.episodes import EpisodeStore
from tests.helpers.films import scene
from training.sources import reader
from training.sources.choice import open_source
from training.sources.importing import write_recording
from training.sources.reader import Report, Wanted

FRAMES = scene(130, size=64)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred frames are enough."""
    monkeypatch.setattr(reader, "LEAST_FRAMES", 100)


def imported(source: Path, out: Path, **wanted: object) -> tuple[EpisodeStore, Report]:
    arrays = open_source(str(source), Wanted(**wanted))  # type: ignore[arg-type]
    return write_recording(arrays, out, {}), arrays.report


def column(store: EpisodeStore, name: str) -> np.ndarray:
    return np.concatenate([np.array(store.array(name, entry)) for entry in store.manifest.episodes])


@pytest.mark.parametrize(
    "frames",
    [
        FRAMES,
        FRAMES.transpose(0, 3, 1, 2),
        FRAMES / 255.0,
        (FRAMES / 127.5 - 1).astype(np.float32),
        FRAMES.astype(np.int32),
        np.concatenate([FRAMES, np.full_like(FRAMES[..., :1], 255)], -1),
        FRAMES.reshape(2, 65, 64, 64, 3),
    ],
    ids=["bytes", "channels first", "zero to one", "minus one to one", "whole numbers", "opacity", "several episodes"],
)
def test_every_layout_gives_the_same_frames(tmp_path: Path, frames: np.ndarray) -> None:
    np.savez_compressed(tmp_path / "a.npz", frames=frames)
    store, _ = imported(tmp_path / "a.npz", tmp_path / "data")
    assert np.abs(column(store, "frames").astype(int) - FRAMES).max() <= 1
    assert not store.manifest.source.has_actions and not store.manifest.source.has_outcomes


def test_a_bare_array_of_grey_pictures_is_enough(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FRAMES[..., 0])
    store, _ = imported(tmp_path / "a.npy", tmp_path / "data")
    assert (column(store, "frames") == FRAMES[..., :1]).all()


def test_actions_rewards_and_ends_stay_with_their_frames(tmp_path: Path) -> None:
    ends = np.zeros(130, bool)
    ends[[39, 89]] = True
    actions, rewards = np.arange(130) % 5, np.arange(130.0)
    np.savez(tmp_path / "a.npz", obs=FRAMES, actions=actions, rewards=rewards, dones=ends)
    store, _ = imported(tmp_path / "a.npz", tmp_path / "data")
    source, episodes = store.manifest.source, store.manifest.episodes
    assert [entry.length for entry in episodes] == [40, 50, 40]
    assert [entry.terminated for entry in episodes] == [True, True, False]
    assert source.has_actions and source.has_outcomes and len(source.action_meanings) == 5
    first = store.array("actions", episodes[1])
    assert (
        first[:-1].tolist() == actions[40:89].tolist() and (store.array("frames", episodes[1]) == FRAMES[40:90]).all()
    )
    # The picture after an episode's last action is missing: its reward counts for the step before.
    assert store.array("rewards", episodes[1])[-2] == 88 + 89 and store.array("rewards", episodes[1])[0] == 40


def test_one_picture_more_than_actions_loses_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", frames=FRAMES, actions=np.ones(129, int), terminated=np.arange(129) == 128)
    store, _ = imported(tmp_path / "a.npz", tmp_path / "data")
    entries = store.manifest.episodes
    assert sum(entry.length for entry in entries) == 130 and entries[-1].terminated
    assert all((store.array("actions", entry)[:-1] == 1).all() for entry in entries)


def test_a_folder_of_files_is_one_recording_and_damaged_ones_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for index in range(3):
        np.savez(folder / f"{index}.npz", frames=scene(60, index, 64), actions=np.zeros(60, int))
    whole = (folder / "0.npz").read_bytes()
    (folder / "3.npz").write_bytes(whole[: len(whole) // 2])
    (folder / "4.npz").write_bytes(b"")
    np.savez(folder / "5.npz", positions=np.zeros((60, 4)), actions=np.zeros(60, int))
    store, report = imported(folder, tmp_path / "data")
    assert {one.name for one in report.left_out} == {"3.npz", "4.npz", "5.npz"}
    assert sum(entry.length for entry in store.manifest.episodes) == 180


def test_a_file_that_claims_more_than_it_holds_is_read_up_to_there(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FRAMES)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data.replace(b"(130, 64, 64, 3), }", b"(999, 64, 64, 3), }"))
    with pytest.raises(ValueError, match=r"a\.npy|expected at least"):
        imported(tmp_path / "a.npy", tmp_path / "data")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"frames": np.zeros((500, 4))}, "has no pictures"),
        ({"frames": FRAMES[:60]}, "at least 100 frames"),
        ({"frames": np.array([FRAMES[0], FRAMES[0, :32]], dtype=object)}, "Python objects"),
        ({"frames": FRAMES * 9.0}, r"\[0, 1\], \[-1, 1\] or \[0, 255\]"),
        ({"frames": FRAMES, "actions": np.zeros(7, int)}, "130 rows, or 129"),
        ({"frames": FRAMES, "rewards": np.full(130, np.nan)}, "finite"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "a.npz", tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
