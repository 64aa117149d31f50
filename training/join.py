"""Make one recording of several: ``python -m training.join data/scripted data/mine --out data/both``.

For recordings of the same game, by other players or at other times: what the training stages read is one folder. An
episode that one of them held out stays held out. Frames are hard links where the file system has them, else copies.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from genie_env.command import run
from genie_env.data.episodes import EpisodeStore, Manifest
from genie_env.data.manifest import ARRAYS, array_path
from genie_env.files.atomic import refuse_existing, whole_folder, write_json
from genie_env.files.reading import checksum


@dataclass(frozen=True)
class JoinConfig:
    """Make one recording of several of the same game."""

    recordings: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of finished recordings."""
    out: Path
    """Folder to make; it appears only when all is in it."""


def join(config: JoinConfig) -> EpisodeStore:
    """Join the recordings and open the result; they stay as they are.

    Raises:
        ValueError: if the folder exists, a recording cannot be read, or they do not show the same game alike.
    """
    if not config.recordings:
        raise ValueError("recordings: expected at least one folder")
    refuse_existing(config.out)
    stores = [EpisodeStore(folder) for folder in config.recordings]
    first = stores[0].manifest
    for store in stores[1:]:
        for name in ("source", "truth_names"):
            mine, theirs = getattr(store.manifest, name), getattr(first, name)
            if mine != theirs:
                raise ValueError(f"{store.folder}: expected the {name} of {stores[0].folder}, {theirs}, got {mine}")
    entries, before, checksums = [], 0, dict[str, str]()
    with whole_folder(config.out) as partial:
        for store in stores:
            for shard in range(store.manifest.num_shards):
                for name in ARRAYS:
                    source = array_path(store.folder, shard, name)
                    target = array_path(partial, before + shard, name)
                    _link(source, target)
                    # Of a recording of an older version, which has none, the checksum is that of today.
                    checksums[target.name] = store.manifest.sha256.get(source.name) or checksum(target)
            entries += [replace(entry, shard=before + entry.shard) for entry in store.manifest.episodes]
            before += store.manifest.num_shards
        settings = {"joined": [store.manifest.settings for store in stores]}
        manifest = Manifest(first.source, first.truth_names, before, tuple(entries), settings, sha256=checksums)
        write_json(partial / "manifest.json", manifest.to_json())
    return EpisodeStore(config.out)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def main(config: JoinConfig) -> None:
    """Command line."""
    print(join(config).summary())


if __name__ == "__main__":
    raise SystemExit(run(main, JoinConfig, description=__doc__))
