"""Minari data sets with pictures are read from their files, and nothing outside of them is."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.helpers.films import scene
from training.sources import reader
from training.sources.choice import open_source
from training.sources.importing import write_recording
from training.sources.reader import Wanted


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred frames are enough."""
    monkeypatch.setattr(reader, "LEAST_FRAMES", 100)


def write_minari(folder: Path, jpeg: bool = False, group: str = "", continuous: bool = False) -> None:
    """Three episodes of 50 steps, as Minari 0.5 writes them."""
    (folder / "data").mkdir(parents=True)
    rng = np.random.default_rng(0)
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        for index in range(3):
            frames = scene(51, index, 64)
            episode = file.create_group(f"episode_{index}")
            name = f"observations/{group}" if group else "observations"
            if jpeg:
                data = episode.create_dataset(name, 51, dtype=h5py.vlen_dtype(np.uint8))
                for t, frame in enumerate(frames):
                    buffer = io.BytesIO()
                    Image.fromarray(frame).save(buffer, format="JPEG")
                    data[t] = np.frombuffer(buffer.getvalue(), np.uint8)
            else:
                episode.create_dataset(name, data=frames)
            if group:
                episode.create_dataset("observations/speed", data=np.zeros((51, 2)))
            actions = rng.normal(size=(50, 3)) if continuous else np.arange(50) % 3
            episode.create_dataset("actions", data=actions)
            episode.create_dataset("rewards", data=np.arange(50.0))
            episode.create_dataset("terminations", data=np.arange(50) == 49)
            episode.create_dataset("truncations", data=np.zeros(50, bool))


@pytest.mark.parametrize(("jpeg", "group"), [(False, ""), (True, ""), (False, "pixels")])
def test_a_data_set_is_read_with_all_that_is_known(tmp_path: Path, jpeg: bool, group: str) -> None:
    write_minari(tmp_path / "set", jpeg, group)
    store = write_recording(open_source(str(tmp_path / "set"), Wanted()), tmp_path / "data", {})
    entry = store.manifest.episodes[1]
    assert entry.length == 51 and entry.terminated and len(store.manifest.episodes) == 3
    assert np.abs(store.array("frames", entry).astype(int) - scene(51, 1, 64)).mean() < 6
    assert store.array("actions", entry)[:-1].tolist() == (np.arange(50) % 3).tolist()
    assert store.array("rewards", entry)[:-1].tolist() == list(range(50))


def test_continuous_actions_become_groups_or_are_ignored(tmp_path: Path) -> None:
    write_minari(tmp_path / "set", continuous=True)
    grouped = open_source(str(tmp_path / "set"), Wanted(action_codes=5)).source
    assert len(grouped.action_meanings) == 5 and grouped.has_actions
    assert not open_source(str(tmp_path / "set"), Wanted(actions="ignore")).source.has_actions


def test_an_id_is_found_where_minari_keeps_it_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    write_minari(tmp_path / "test" / "set-v0")
    assert open_source("minari:test/set-v0", Wanted()).expected_frames == 153
    for name in ("minari:other-v0", "minari:../set", "minari:/etc", "minari:"):
        with pytest.raises(ValueError, match="minari download"):
            open_source(name, Wanted())


def test_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    write_minari(tmp_path / "secret")
    write_minari(tmp_path / "set")
    path = tmp_path / "set" / "data" / "main_data.hdf5"
    with h5py.File(path, "a") as file:
        del file["episode_0/observations"]
        other = tmp_path / "secret" / "data" / "main_data.hdf5"
        file["episode_0/observations"] = h5py.ExternalLink(str(other), "episode_0/observations")
    with pytest.raises(ValueError, match="a link"):
        open_source(str(tmp_path / "set"), Wanted())


def test_data_sets_without_pictures_or_damaged_are_refused(tmp_path: Path) -> None:
    write_minari(tmp_path / "set", group="pixels")
    path = tmp_path / "set" / "data" / "main_data.hdf5"
    with h5py.File(path, "a") as file:
        for index in range(3):
            del file[f"episode_{index}/observations/pixels"]
    with pytest.raises(ValueError, match="no pictures"):
        open_source(str(tmp_path / "set"), Wanted())
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="HDF5"):
        open_source(str(tmp_path / "set"), Wanted())
