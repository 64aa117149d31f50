"""The manifest of a recording: which episodes lie in which rows of which shards, and the checksums of the arrays.

Owns the names of the files and their format; reads no array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genie_env.config import SourceConfig
from genie_env.config.bounds import require_texts
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import read_json

FORMAT = "genie-env-episodes-1"
ARRAYS = {"frames": "uint8", "actions": "int16", "rewards": "float32", "terminated": "bool", "truth": "float32"}
MANIFEST = "manifest.json"
MANIFEST_BYTES = 64 * 2**20
"""Largest manifest that is read: about half a million episodes."""
NO_ACTION = -1
SPLITS = ("train", "test")


@dataclass(frozen=True)
class EpisodeEntry(JsonConfig):
    """Where an episode lies: ``length`` frames from row ``start`` of shard ``shard``."""

    shard: int
    start: int
    length: int
    player: str
    split: str
    terminated: bool


@dataclass(frozen=True)
class Manifest(JsonConfig):
    """What a store holds; the one file that makes a folder a store."""

    source: SourceConfig
    truth_names: tuple[str, ...]
    num_shards: int
    episodes: tuple[EpisodeEntry, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    format: str = FORMAT
    sha256: dict[str, str] = field(default_factory=dict)
    """Checksum of each array by the name of its file; a recording of an older version has none."""

    def __post_init__(self) -> None:
        require_texts("truth_names", self.truth_names)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        FileError: if it is missing, or not the manifest of a recording in the present format.
    """
    content = read_json(path, "the manifest of a recording", MANIFEST_BYTES)
    try:
        manifest = Manifest.from_json(content)
    except ValueError as error:
        raise FileError(path, f"expected the manifest of a recording ({error})") from None
    if manifest.format != FORMAT:
        raise FileError(path, f"expected format {FORMAT!r}, got {manifest.format!r}")
    return manifest


def shard_lengths(episodes: Sequence[EpisodeEntry], num_shards: int, path: Path) -> list[int]:
    """Rows of each shard, whose episodes lie one after another from its first row to its last.

    Args:
        episodes: of all shards.
        num_shards: as the manifest says.
        path: of the manifest, for the error.

    Raises:
        FileError: if an episode lies elsewhere, over another one, or in no split.
    """
    if not 0 <= num_shards <= len(episodes):
        raise FileError(path, f"expected 0 to {len(episodes)} shards for {len(episodes)} episodes, got {num_shards}")
    lengths = [0] * num_shards
    for entry in sorted(episodes, key=lambda entry: (entry.shard, entry.start)):
        where = f"episode at row {entry.start} of shard {entry.shard}"
        if not 0 <= entry.shard < num_shards:
            raise FileError(path, f"{where}: expected a shard from 0 to {num_shards - 1}")
        if entry.start != lengths[entry.shard]:
            raise FileError(path, f"{where}: expected it at row {lengths[entry.shard]}, where the one before it ends")
        if not 0 < entry.length < 2**40:
            raise FileError(path, f"{where}: expected a length of at least one frame, got {entry.length}")
        if entry.split not in SPLITS:
            raise FileError(path, f"{where}: expected the split to be one of {list(SPLITS)}, got {entry.split!r}")
        lengths[entry.shard] += entry.length
    if 0 in lengths:
        raise FileError(path, f"expected an episode in each of {num_shards} shards, got none in {lengths.index(0)}")
    return lengths


def array_path(folder: Path, shard: int, name: str) -> Path:
    """Where one of :data:`ARRAYS` of a shard lies."""
    return folder / f"{shard:05d}.{name}.npy"


def held_out_of(lengths: list[int], every: int) -> set[int]:
    """Indices of the episodes to test on; none of a single episode."""
    if len(lengths) >= every or len(lengths) < 2:
        return set(range(every - 1, len(lengths), every))
    share = sum(lengths) / every
    return {min(range(len(lengths)), key=lambda index: abs(lengths[index] - share))}
