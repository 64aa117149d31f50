"""Scores of anybody's codes: what counts, what is refused, and the file format."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from genie_env.config import SourceConfig
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter
from training.latent_action.scoring import Codes, delta_psnr, read_codes, read_transitions, score, write_codes
from training.score_latent_actions import ScoreConfig, score_latent_actions

SIDE = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    """Ten random episodes of three effects in four actions; all but the first are held out below as "train"."""
    rng, shard = np.random.default_rng(0), []
    for _ in range(10):
        frames = rng.integers(0, 255, (61, SIDE, SIDE, 3), dtype=np.uint8)
        shard.append(Episode(frames, rng.integers(4, size=60), np.zeros(60), False, np.zeros((61, 0)), "random"))
    source = SourceConfig("Noise-v0", image_size=SIDE, action_meanings=("A", "B", "C", "D"), effects=(0, 0, 1, 2))
    writer = EpisodeWriter(tmp_path_factory.mktemp("scores") / "data", source, (), {})
    writer.write_shard(0, shard)
    return writer.finish(1)


def scores(store: EpisodeStore, codes_M: np.ndarray):
    known = read_transitions(store, "train")
    return score(codes_M, known, np.ones(len(known.effects_M), dtype=bool))


def test_codes_count_up_to_their_order(store: EpisodeStore) -> None:
    effects = read_transitions(store, "train").effects_M
    for codes in (effects, (effects + 1) % 3, 5 - effects):
        found = scores(store, codes)
        assert (found.assignment.value, found.after.value, found.nmi.value) == pytest.approx((1.0, 1.0, 1.0))
        assert found.assignment.low == pytest.approx(1.0) and found.assignment.count == 9, "intervals resample episodes"


def test_codes_that_tell_the_change_of_action_score_only_where_the_action_before_is_known(store: EpisodeStore) -> None:
    known = read_transitions(store, "train")
    found = scores(store, (known.effects_M - known.before_M) % 3)
    assert found.after.value == 1.0
    assert found.assignment.value < 0.6 and found.nmi.value < 0.3


def test_chance_and_majority_bound_codes_that_know_nothing(store: EpisodeStore) -> None:
    effects = read_transitions(store, "train").effects_M
    found = scores(store, np.random.default_rng(1).integers(3, size=len(effects)))
    assert found.assignment.value == pytest.approx(found.chance.value, abs=0.06)
    assert found.majority.value == pytest.approx(np.bincount(effects).max() / len(effects))
    assert scores(store, np.zeros(len(effects), np.int64)).assignment.value == pytest.approx(found.majority.value)


def test_codes_file_survives_and_drawings_are_compared_over_what_moves(store: EpisodeStore, tmp_path: Path) -> None:
    entries = store.split("train")
    index = np.array([0, 59, 60, 539])
    frames = [store.array("frames", entries[i // 60])[i % 60 + 1] for i in index]
    right = np.stack(frames)
    near, far = (np.clip(right.astype(int) + noise, 0, 255).astype(np.uint8) for noise in (1, 10))
    path = tmp_path / "codes.npz"
    write_codes(path, Codes(np.arange(540) % 3, near, far, index))
    with np.load(path, allow_pickle=False) as plain:
        assert sorted(plain.files) == ["codes", "drawn", "drawn_index", "drawn_random"], "plain NumPy reads it"
    read = read_codes(path, store, "train")
    assert np.array_equal(read.codes_M, np.arange(540) % 3) and np.array_equal(read.index_K, index)
    assert delta_psnr(read, store, "train").value == pytest.approx(20, abs=1.5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(540, np.int64)}, "expected 'codes'"),
        ({"codes": np.zeros(539, np.int64)}, "for each of 540 transitions"),
        ({"codes": np.zeros(540)}, "whole number"),
        ({"codes": np.full(540, -1)}, "from 0 to 255"),
        ({"codes": np.zeros(10**6, np.int64)}, "at most"),
        ({"codes": np.zeros(540, np.int64), "drawn_index": np.array([540])}, "from 0 to 539"),
        ({"codes": np.zeros(540, np.int64), "drawn_index": np.array([1])}, "expected 'drawn'"),
    ],
)
def test_codes_that_do_not_fit_are_refused_by_name(
    store: EpisodeStore, tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "codes.npz", **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=message) as refused:
        read_codes(tmp_path / "codes.npz", store, "train")
    assert str(refused.value).startswith(str(tmp_path / "codes.npz"))


def test_pickles_and_other_files_are_refused(store: EpisodeStore, tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="archive"):
        read_codes(path, store, "train")
    np.savez(path, codes=np.array([object()] * 540))
    with pytest.raises(ValueError, match=r"archive|allow_pickle"):
        read_codes(path, store, "train")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("codes.npy", b"not an array")
    with pytest.raises(ValueError, match="archive"):
        read_codes(path, store, "train")


def test_the_table_names_every_row_it_is_to_be_read_beside(store: EpisodeStore, tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    write_codes(path, Codes(read_transitions(store, "test").effects_M, None, None, None))
    table = score_latent_actions(ScoreConfig(store.folder, path, ceiling_updates=3))
    for row in ("these codes | 1.000", "all labels (supervised)", "majority", "chance"):
        assert row in table
    assert "ΔPSNR" not in table
