"""Several recordings as one: nothing is lost, mixed up, moved to another split or half there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genie_env.data.episodes import EpisodeStore, EpisodeWriter
from tests.genie_env.data.test_episodes import SOURCE, episode, store
from training import join as joining
from training.join import JoinConfig, join


def recordings(folder: Path) -> list[EpisodeStore]:
    """One of two shards and one of a single shard, each with a held-out episode."""
    first = store(folder / "first", [[episode(4, 1), episode(2, 2)], [episode(3, 3, terminated=False)]])
    return [first, store(folder / "second", [[episode(5, 4), episode(1, 5), episode(6, 6)]], test_every=3)]


@pytest.mark.parametrize("links", [True, False])
def test_every_episode_is_there_once_with_its_rows_and_its_split(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def refuse(*_: object) -> None:
            raise OSError("another file system")

        monkeypatch.setattr(joining.os, "link", refuse)
    parts = recordings(tmp_path)
    both = join(JoinConfig(tuple(part.folder for part in parts), tmp_path / "both"))
    expected = [(part, entry) for part in parts for entry in part.manifest.episodes]
    assert both.manifest.num_shards == 3 and len(both.manifest.episodes) == len(expected)
    for entry, (part, original) in zip(both.manifest.episodes, expected, strict=True):
        assert replace(entry, shard=original.shard) == original
        for name in ("frames", "actions", "rewards", "terminated", "truth"):
            assert np.array_equal(both.array(name, entry), part.array(name, original), equal_nan=name == "truth")
    assert {entry.split for entry in both.manifest.episodes} == {"train", "test"}
    assert not list(tmp_path.glob("*.partial"))


def test_joined_recordings_outlive_their_parts(tmp_path: Path) -> None:
    parts = recordings(tmp_path)
    frames = [np.array(part.array("frames", entry)) for part in parts for entry in part.manifest.episodes]
    join(JoinConfig(tuple(part.folder for part in parts), tmp_path / "both"))
    for part in parts:
        for path in part.folder.iterdir():
            path.unlink()
    both = EpisodeStore(tmp_path / "both")
    for entry, original in zip(both.manifest.episodes, frames, strict=True):
        assert np.array_equal(both.array("frames", entry), original)


def test_recordings_that_do_not_fit_together_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (first, _) = recordings(tmp_path)
    writer = EpisodeWriter(tmp_path / "other", replace(SOURCE, env_id="Another-v0"), ("x", "y"))
    writer.write_shard(0, [episode(3)])
    writer.finish(1)
    out = tmp_path / "both"
    for folders, message in [
        ((first.folder, tmp_path / "other"), "expected the source"),
        ((first.folder, tmp_path / "nowhere"), "expected a recording"),
        ((), "at least one"),
    ]:
        with pytest.raises(ValueError, match=message):
            join(JoinConfig(folders, out))
        assert not out.exists() and not list(tmp_path.glob("both*"))
    with pytest.raises(ValueError, match="exists already"):
        join(JoinConfig((first.folder,), first.folder))


def test_an_interrupted_join_leaves_nothing_that_looks_finished_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = recordings(tmp_path)
    config = JoinConfig(tuple(part.folder for part in parts), tmp_path / "both")
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(joining, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            join(config)
    assert not config.out.exists()
    assert len(join(config).manifest.episodes) == 6
