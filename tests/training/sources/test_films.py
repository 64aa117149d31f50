"""Films become recordings in which nothing is invented; what cannot be used is named."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from genie_env.data.episodes import EpisodeStore
from tests.helpers.damaged_films import DamagedConfig, check
from tests.helpers.films import scene, write_film
from training.sources import importing, reader
from training.sources.films import FilmReader
from training.sources.importing import write_recording
from training.sources.reader import Wanted


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred frames are enough."""
    monkeypatch.setattr(reader, "LEAST_FRAMES", 100)


def imported(source: Path, out: Path, **wanted: object) -> tuple[EpisodeStore, reader.Report]:
    films = FilmReader(source, Wanted(**wanted))  # type: ignore[arg-type]
    return write_recording(films, out, {}), films.report


def test_nothing_but_pictures_is_in_the_recording_of_a_film(tmp_path: Path) -> None:
    frames = scene(150)
    store, report = imported(write_film(tmp_path / "a.mp4", frames, sound=True), tmp_path / "data")
    source = store.manifest.source
    assert not source.has_actions and not source.has_outcomes
    assert source.action_meanings == () and source.effects == () and source.fps == 15
    for split in ("train", "test"):
        for _, arrays in store.episodes(split):
            assert (arrays["actions"] == -1).all() and not arrays["rewards"].any() and not arrays["terminated"].any()
    assert store.split("test") and sum(entry.length for entry in store.manifest.episodes) == 150
    assert [used.name for used in report.used] == ["a.mp4"] and not report.left_out
    kept = np.concatenate([store.array("frames", entry) for entry in store.manifest.episodes])
    wanted = frames.reshape(150, 96, 96, 3)[:, ::3, ::3]
    assert kept.shape == (150, 64, 64, 3) and np.abs(kept[:, ::2, ::2].astype(int) - wanted).mean() < 12


def test_a_faster_film_keeps_its_speed_at_fewer_frames_and_fps_overrules(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", scene(360), fps=30)
    assert imported(path, tmp_path / "data")[0].summary().startswith(f"{tmp_path / 'data'}: 180 frames")
    assert imported(path, tmp_path / "fast", fps=30)[0].manifest.source.fps == 30


def test_bars_are_cut_off_a_crop_overrules_and_the_manifest_says_which(tmp_path: Path) -> None:
    frames = np.zeros((120, 128, 96, 3), np.uint8)
    frames[:, 16:112] = scene(120)
    path = write_film(tmp_path / "a.mp4", frames)
    assert imported(path, tmp_path / "a")[0].manifest.source.crop == (16, 112, 0, 96)
    assert imported(path, tmp_path / "b", keep_bars=True)[0].manifest.source.crop is None
    assert imported(path, tmp_path / "c", crop=(0, 64, 0, 64))[0].manifest.source.crop == (0, 64, 0, 64)
    with pytest.raises(ValueError, match="crop: expected rows and columns of a picture of 128x96"):
        imported(path, tmp_path / "d", crop=(0, 200, 0, 64))


def test_every_damaged_film_is_named_and_every_whole_one_used() -> None:
    verdict = check(DamagedConfig(damaged=48, good=8))
    assert verdict.not_named == [] and verdict.not_used == []


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [(60, None, "at least 100 frames"), (1, None, "still picture"), (0, None, "empty folder"), (90, 48, "one shape")],
)
def test_what_cannot_become_a_recording_is_refused_before_any_work(
    tmp_path: Path, count: int, size: int | None, message: str
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    if count:
        write_film(folder / "a.mp4", scene(count))
    if size:
        write_film(folder / "b.mp4", scene(count)[:, :size])
    with pytest.raises(ValueError, match=message):
        imported(folder, tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["films"]


def test_one_film_of_another_shape_among_many_is_left_out_and_named(tmp_path: Path) -> None:
    for index in range(5):
        write_film(tmp_path / f"{index}.mp4", scene(40, index)[:, : 48 if index == 2 else 96])
    films = FilmReader(tmp_path, Wanted())
    assert [one.name for one in films.report.left_out] == ["2.mp4"] and films.expected_frames == 160
    assert FilmReader(tmp_path, Wanted(mixed_shapes=True)).expected_frames == 200


def test_a_full_disk_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing.shutil, "disk_usage", lambda _: importing.shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(ValueError, match="GB are free"):
        imported(write_film(tmp_path / "a.mp4", scene(150)), tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_import_that_was_killed_begins_again(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", scene(150))
    partial = tmp_path / "data.partial"
    partial.mkdir()
    (partial / "00000.frames.npy").write_bytes(b"half")
    store, _ = imported(path, tmp_path / "data")
    assert len(store.manifest.episodes) > 1 and not partial.exists()


def test_memory_does_not_grow_with_the_length_of_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "SHARD_BYTES", 2**20)
    monkeypatch.setattr(reader, "MOST_EPISODE", 64)
    peaks = []
    for count in (300, 1200):
        path = write_film(tmp_path / f"{count}.mp4", scene(count, size=64))
        tracemalloc.start()
        imported(path, tmp_path / f"data{count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
