"""LeRobotDataset v3 folders are read by their documented places; each frame keeps its own action."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genie_env.data.episodes import EpisodeEntry
from tests.helpers.films import scene, write_film
from training.sources import reader
from training.sources.choice import open_source
from training.sources.importing import write_recording
from training.sources.reader import Wanted

CAMERA = "observation.images.front"
LENGTHS = (60, 90, 75)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred frames are enough."""
    monkeypatch.setattr(reader, "LEAST_FRAMES", 100)


def write_lerobot(folder: Path, fps: int = 15, cameras: tuple[str, ...] = (CAMERA,)) -> np.ndarray:
    """Three episodes in one film, as LeRobot 0.4 writes them; returns the pictures."""
    total, starts = sum(LENGTHS), np.cumsum([0, *LENGTHS[:-1]])
    frames = np.concatenate([scene(length, index) for index, length in enumerate(LENGTHS)])
    features = {camera: {"dtype": "video", "shape": [96, 96, 3]} for camera in cameras}
    features |= {"action": {"dtype": "float32", "shape": [2]}, "next.reward": {"dtype": "float32", "shape": [1]}}
    for place in ("meta/episodes/chunk-000", "data/chunk-000", *(f"videos/{c}/chunk-000" for c in cameras)):
        (folder / place).mkdir(parents=True)
    info = {"codebase_version": "v3.0", "fps": fps, "features": features, "video_path": "/etc/{video_key}"}
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    episodes = {"episode_index": list(range(3)), "length": list(LENGTHS)}
    for camera in cameras:
        write_film(folder / f"videos/{camera}/chunk-000/file-000.mp4", frames, fps=fps, options={"crf": "10"})
        episodes |= {f"videos/{camera}/chunk_index": [0] * 3, f"videos/{camera}/file_index": [0] * 3}
        episodes |= {f"videos/{camera}/from_timestamp": (starts / fps).tolist()}
    pq.write_table(pa.table(episodes), folder / "meta/episodes/chunk-000/file-000.parquet")
    codes = np.arange(total) % 3
    rows = {
        "action": pa.array(np.stack([codes, -codes], 1).astype(np.float32).tolist(), pa.list_(pa.float32())),
        "episode_index": np.repeat(np.arange(3), LENGTHS),
        "next.reward": np.ones(total, np.float32),
        "next.done": np.isin(np.arange(total), np.cumsum(LENGTHS) - 1),
    }
    pq.write_table(pa.table(rows), folder / "data/chunk-000/file-000.parquet")
    return frames


def small(frames: np.ndarray) -> np.ndarray:
    return frames[:, ::3, ::3]


def test_frames_actions_and_rewards_belong_together(tmp_path: Path) -> None:
    frames = write_lerobot(tmp_path / "set")
    store = write_recording(open_source(str(tmp_path / "set"), Wanted()), tmp_path / "data", {})
    assert sum(entry.terminated for entry in store.manifest.episodes) == 3 and store.manifest.source.fps == 15
    assert sum(entry.length for entry in store.manifest.episodes) == sum(LENGTHS)
    kept = np.concatenate([store.array("frames", entry) for entry in store.manifest.episodes])
    assert np.abs(small(frames).astype(int) - kept[:, ::2, ::2]).mean() < 12
    # The groups are ordered by what is in them: 0, 1, 2 of the first dimension.
    played = np.concatenate([store.array("actions", entry)[:-1] for entry in store.manifest.episodes])
    wanted = [np.arange(start, start + length)[:-1] % 3 for start, length in _places(store.manifest.episodes)]
    assert len(store.manifest.source.action_meanings) == 3 and (played == np.concatenate(wanted)).all()


def _places(entries: Sequence[EpisodeEntry]) -> list[tuple[int, int]]:
    """First row and length of each episode, which lie one after another."""
    return [(sum(e.length for e in entries[:n]), entry.length) for n, entry in enumerate(entries)]


def test_a_faster_film_is_thinned_out_with_its_rows(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "set", fps=30)
    source = open_source(str(tmp_path / "set"), Wanted())
    store = write_recording(source, tmp_path / "data", {})
    assert store.manifest.source.fps == 15 and sum(e.length for e in store.manifest.episodes) == 30 + 45 + 38
    entry = store.manifest.episodes[0]
    assert store.array("rewards", entry)[:3].tolist() == [2, 2, 2]
    played = store.array("actions", entry)[:-1]
    # Every second of 0 1 2 0 1 2 …
    assert (np.diff(played.astype(int)) % 3 == 2).all()


def test_actions_can_be_ignored(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "set")
    source = open_source(str(tmp_path / "set"), Wanted(actions="ignore")).source
    assert not source.has_actions and source.has_outcomes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codebase_version": "v2.1"}, "v3.x, got 'v2.1'"),
        ({"fps": 0}, "fps: expected"),
        ({"features": {}}, "no films"),
        ({"features": {"../../etc": {"dtype": "video"}}}, "no films"),
    ],
)
def test_other_versions_and_wrong_facts_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    write_lerobot(tmp_path / "set")
    path = tmp_path / "set" / "meta" / "info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        open_source(str(tmp_path / "set"), Wanted())


def test_of_several_cameras_one_is_chosen_by_name(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "set", cameras=(CAMERA, "observation.images.wrist"))
    with pytest.raises(ValueError, match="several cameras"):
        open_source(str(tmp_path / "set"), Wanted())
    assert open_source(str(tmp_path / "set"), Wanted(pictures="wrist")).expected_frames == sum(LENGTHS)


def test_damaged_tables_and_films_are_named(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "set")
    film = tmp_path / "set" / f"videos/{CAMERA}/chunk-000/file-000.mp4"
    film.write_bytes(film.read_bytes()[:1000])
    with pytest.raises(ValueError, match="at least 100 frames"):
        open_source(str(tmp_path / "set"), Wanted())
    table = tmp_path / "set" / "data/chunk-000/file-000.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"file-000\.parquet: expected a Parquet table"):
        open_source(str(tmp_path / "set"), Wanted())
