"""Recorded play on disk: whole episodes in immutable, memory-mapped shards beside a JSON manifest.

A store is written into ``<folder>.partial`` and renamed when complete, so it is whole or absent. Finished shards
of an interrupted recording are kept and reused. Rows are aligned by frame: row t holds frame t and what happened
*after* it, that is the action taken there and the reward and termination of the transition to frame t+1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genie_env.config import SourceConfig
from genie_env.data.checks import actions_problem, check_rows, outcomes_problem
from genie_env.data.manifest import (
    ARRAYS,
    MANIFEST,
    MANIFEST_BYTES,
    NO_ACTION,
    EpisodeEntry,
    Manifest,
    array_path,
    held_out_of,
    read_manifest,
    shard_lengths,
)
from genie_env.files.arrays import open_array, write_array
from genie_env.files.atomic import (
    hold_folder,
    partial_folder,
    publish_folder,
    recover_folder,
    refuse_existing,
    remove_folder,
    write_json,
)
from genie_env.files.errors import FileError
from genie_env.files.reading import checksum, read_json

__all__ = ["NO_ACTION", "Episode", "EpisodeEntry", "EpisodeStore", "EpisodeWriter", "Manifest"]

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Episode:
    """One episode of T+1 frames and T transitions.

    Attributes:
        frames_THWC: uint8 [T+1, H, W, 3].
        actions_T: int [T], real actions; action t moves frame t to frame t+1. All -1 where the source has none.
        rewards_T: float [T]; all 0 where the source knows of no outcome.
        terminated: whether the last transition ended the game; False where the source knows of no outcome.
        truth: float32 [T+1, K], ground truth per frame (NaN: absent), columns named in the manifest.
        player: who played.
    """

    frames_THWC: np.ndarray
    actions_T: np.ndarray
    rewards_T: np.ndarray
    terminated: bool
    truth: np.ndarray
    player: str = "unknown"


class EpisodeWriter:
    """Collects episodes shard by shard and publishes the store with :meth:`finish`."""

    def __init__(
        self,
        folder: Path | str,
        source: SourceConfig,
        truth_names: tuple[str, ...] = (),
        settings: dict[str, Any] | None = None,
        test_every: int = 10,
    ) -> None:
        """Prepare ``<folder>.partial``.

        Args:
            test_every: every n-th episode is held out (split ``test``); the rest is ``train``. Of fewer episodes
                the one is held out that comes nearest to this share of all frames.

        Raises:
            ValueError: if ``folder`` exists, or a partial recording with other settings lies beside it.
        """
        self.folder = Path(folder)
        refuse_existing(self.folder)
        self.partial = partial_folder(self.folder)
        self._source, self._truth_names, self._settings = source, truth_names, settings or {}
        self._test_every = test_every
        self.partial.mkdir(parents=True, exist_ok=True)
        stamp = self.partial / SETTINGS
        wanted = json.loads(json.dumps({"source": source.to_json(), "settings": self._settings}))
        if stamp.exists() and read_json(stamp, "the settings of a recording") != wanted:
            raise ValueError(f"{self.partial} holds a recording with other settings; remove it to start again")
        write_json(stamp, wanted)

    def hold(self) -> AbstractContextManager[None]:
        """Be the only process that writes this recording; raises ValueError if another one does, and says which."""
        return hold_folder(self.partial)

    def has_shard(self, index: int) -> bool:
        """Whether shard ``index`` was finished before and is undamaged."""
        try:
            self.require_shard(index)
        except FileError:
            return False
        return True

    def has_entries(self, index: int) -> bool:
        """Whether shard ``index`` was finished before, damaged or not."""
        return (self.partial / MANIFEST).exists() or self._shard_json(index).exists()

    def require_shard(self, index: int) -> None:
        """Do nothing if shard ``index`` was finished before and is undamaged.

        Raises:
            FileError: if it was not, or a file is damaged; names the file.
        """
        if (self.partial / MANIFEST).exists():
            recorded = read_manifest(self.partial / MANIFEST).sha256
        else:
            recorded = self._read_shard(index)["sha256"]
        for name in ARRAYS:
            path = array_path(self.partial, index, name)
            if checksum(path) != recorded.get(path.name):
                raise FileError(path, "is damaged: its sha256 is not the recorded one")

    def write_shard(self, index: int, episodes: list[Episode]) -> None:
        """Write one shard; it counts only once its small JSON file is in place, which comes last.

        Raises:
            ValueError: if arrays do not belong together, an action is none of the game's, a reward is not finite, or
                there is something of which the source says that it is not known.
        """
        rows = [_rows(episode, len(self._truth_names), self._source) for episode in episodes]
        sizes = {row["frames"].shape[1:] for row in rows}
        if len(sizes) != 1:
            raise ValueError(f"expected episodes with frames of one size, got {sorted(sizes) or 'no episode'}")
        checksums = {}
        for name in ARRAYS:
            path = array_path(self.partial, index, name)
            write_array(path, np.concatenate([row[name] for row in rows]))
            checksums[path.name] = checksum(path)
        start, entries = 0, []
        for episode in episodes:
            length = len(episode.frames_THWC)
            entries.append(
                {"start": start, "length": length, "player": episode.player, "terminated": bool(episode.terminated)}
            )
            start += length
        write_json(self._shard_json(index), {"episodes": entries, "sha256": checksums})

    def finish(self, num_shards: int) -> EpisodeStore:
        """Write the manifest, publish the folder and open it.

        Raises:
            FileError: if a shard is missing, damaged, or does not fit the others.
        """
        manifest = self.partial / MANIFEST
        if not manifest.exists():
            write_json(manifest, self._manifest(num_shards).to_json())
        try:
            EpisodeStore(self.partial)
        except FileError:
            manifest.unlink()
            raise
        for path in self.partial.glob("?????.json"):
            path.unlink()
        publish_folder(self.partial, self.folder)
        (self.folder / SETTINGS).unlink()
        return EpisodeStore(self.folder)

    def _manifest(self, num_shards: int) -> Manifest:
        shards = [self._read_shard(index) for index in range(num_shards)]
        found = [(index, entry) for index, shard in enumerate(shards) for entry in shard["episodes"]]
        held_out = held_out_of([entry["length"] for _, entry in found], self._test_every)
        entries = [
            EpisodeEntry(shard=shard, split="test" if index in held_out else "train", **entry)
            for index, (shard, entry) in enumerate(found)
        ]
        checksums = {name: digest for shard in shards for name, digest in shard["sha256"].items()}
        return Manifest(self._source, self._truth_names, num_shards, tuple(entries), self._settings, sha256=checksums)

    def _read_shard(self, index: int) -> dict[str, Any]:
        path = self._shard_json(index)
        shard = read_json(path, "the episodes of a shard", MANIFEST_BYTES)
        if not isinstance(shard, dict) or set(shard) != {"episodes", "sha256"}:
            raise FileError(path, "expected the episodes and checksums of a shard")
        return shard

    def discard(self) -> None:
        """Remove everything written so far."""
        remove_folder(self.partial)

    def _shard_json(self, index: int) -> Path:
        return self.partial / f"{index:05d}.json"


class EpisodeStore:
    """A finished recording, memory-mapped."""

    def __init__(self, folder: Path | str) -> None:
        """Open ``folder``.

        Raises:
            FileError: if it is no store, or a file is missing, damaged or does not fit the others; names the file.
        """
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        recover_folder(self.folder)
        if not path.exists():
            raise FileError(
                self.folder, "expected a recording with manifest.json (make one with `python -m training.record`)"
            )
        self.manifest = read_manifest(path)
        lengths = shard_lengths(self.manifest.episodes, self.manifest.num_shards, path)
        entries: list[list[EpisodeEntry]] = [[] for _ in lengths]
        for entry in self.manifest.episodes:
            entries[entry.shard].append(entry)
        self._shards: list[dict[str, np.ndarray]] = []
        for rows, inside in zip(lengths, entries, strict=True):
            self._shards.append(self._open_shard(len(self._shards), rows, inside))

    def split(self, name: str) -> list[EpisodeEntry]:
        """Entries of ``train`` or ``test`` episodes."""
        return [entry for entry in self.manifest.episodes if entry.split == name]

    def array(self, name: str, entry: EpisodeEntry) -> np.ndarray:
        """Read-only rows of one episode: ``frames``, ``actions``, ``rewards``, ``terminated`` or ``truth``."""
        return self._shards[entry.shard][name][entry.start : entry.start + entry.length]

    def episodes(self, split: str) -> Iterator[tuple[EpisodeEntry, dict[str, np.ndarray]]]:
        """Yield every episode of a split with all its arrays."""
        for entry in self.split(split):
            yield entry, {name: self.array(name, entry) for name in ARRAYS}

    def summary(self) -> str:
        """What is in it, in a line."""
        episodes = self.manifest.episodes
        frames = sum(entry.length for entry in episodes)
        return f"{self.folder}: {frames} frames, {len(episodes)} episodes ({len(self.split('test'))} held out)"

    def truth_column(self, name: str) -> int:
        """Index of a ground-truth column.

        Raises:
            ValueError: if the recording has no such column.
        """
        if name not in self.manifest.truth_names:
            raise ValueError(f"{self.folder}: no ground truth {name!r}; it has {list(self.manifest.truth_names)}")
        return self.manifest.truth_names.index(name)

    def _open_shard(self, index: int, rows: int, entries: list[EpisodeEntry]) -> dict[str, np.ndarray]:
        size = self._shards[0]["frames"].shape[1:] if self._shards else (None, None, 3)
        inner = {"frames": size, "truth": (len(self.manifest.truth_names),)}
        paths = {name: array_path(self.folder, index, name) for name in ARRAYS}
        arrays = {name: open_array(paths[name], kind, (rows, *inner.get(name, ()))) for name, kind in ARRAYS.items()}
        check_rows(arrays, paths, entries, self.manifest.source)
        return arrays


def _rows(episode: Episode, num_truth: int, source: SourceConfig) -> dict[str, np.ndarray]:
    frames = episode.frames_THWC
    steps = len(episode.actions_T)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or len(frames) != steps + 1:
        raise ValueError(f"expected uint8 frames [T+1, H, W, 3] for {steps} actions, got {frames.dtype} {frames.shape}")
    if len(episode.rewards_T) != steps:
        raise ValueError(f"expected as many rewards as actions, {steps}, got {len(episode.rewards_T)}")
    with np.errstate(over="ignore"):
        rewards = np.append(episode.rewards_T, 0).astype(np.float32)
    problem = actions_problem(np.asarray(episode.actions_T), source)
    if problem := problem or outcomes_problem(rewards, episode.terminated, source):
        raise ValueError(problem)
    if not np.isfinite(rewards).all():
        raise ValueError("expected finite rewards, got NaN, infinite or too large ones")
    terminated = np.zeros(len(frames), dtype=bool)
    if len(frames) > 1:
        terminated[-2] = episode.terminated
    return {
        "frames": frames,
        "actions": np.append(episode.actions_T, NO_ACTION).astype(np.int16),
        "rewards": rewards,
        "terminated": terminated,
        "truth": np.asarray(episode.truth, dtype=np.float32).reshape(len(frames), num_truth),
    }
