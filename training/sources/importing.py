"""From a reader to a recording on disk: shards while it reads, nothing before everything was checked.

Owns the order of work and the room on the disk. Knows no format of what is read.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter
from genie_env.files.atomic import hold_folder, partial_folder, refuse_existing
from training.sources.reader import Reader, require_frames

SHARD_BYTES = 64 * 2**20
"""Pictures that are kept in memory until they are written."""
ROOM = 1.1
"""How much more than its pictures a recording takes."""


def write_recording(reader: Reader, out: Path, settings: dict[str, Any]) -> EpisodeStore:
    """Read everything and publish it as a recording; an import that was killed begins again.

    Args:
        reader: gameplay that was looked at.
        out: folder to make.
        settings: kept in the manifest.

    Raises:
        ValueError: if ``out`` exists, another recording was begun there, the disk is too small, or too little could
            be read. Nothing is left of the import then.
    """
    out = Path(out)
    refuse_existing(out)
    _require_room(reader, out)
    partial = partial_folder(out)
    with hold_folder(partial):
        # Refuses another recording that was begun there: hours of play may lie in it.
        EpisodeWriter(out, reader.source, settings=settings).discard()
        writer = EpisodeWriter(out, reader.source, settings=settings)
        try:
            shards, frames = 0, 0
            for episodes in _shards(reader):
                writer.write_shard(shards, episodes)
                shards, frames = shards + 1, frames + sum(len(one.frames_THWC) for one in episodes)
            require_frames(frames, reader.source.fps, out)
            return writer.finish(shards)
        except BaseException:
            with contextlib.suppress(OSError):
                writer.discard()
            raise


def _shards(reader: Reader) -> Iterator[list[Episode]]:
    """Episodes in groups that fill a shard."""
    waiting: list[Episode] = []
    size = 0
    with tqdm(total=reader.expected_frames, desc="import", unit="frame") as bar:
        for episode in reader.episodes():
            waiting.append(episode)
            size += episode.frames_THWC.nbytes
            bar.update(len(episode.frames_THWC))
            if size >= SHARD_BYTES:
                yield waiting
                waiting, size = [], 0
    if waiting:
        yield waiting


def _require_room(reader: Reader, out: Path) -> None:
    folder = next(folder for folder in out.absolute().parents if folder.exists())
    needed = reader.expected_frames * 3 * reader.source.image_size**2 * ROOM
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{out}: the recording needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; choose another folder, "
            "fewer frames a second or a smaller --image-size"
        )
