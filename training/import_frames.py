"""Turn films, arrays and data sets into a recording: ``python -m training.import_frames run.mp4 --out data/x``.

SOURCE is a film or a folder of them (whatever PyAV decodes: MP4, MKV, WebM, AVI, GIF …), an ``.npz`` or ``.npy`` file,
a Minari data set (``minari:ID`` or its folder), or the folder of a LeRobotDataset v3. Formats, names and shapes:
docs/films.md.

Everything is looked at first: what cannot become a recording ends in one line before any work. Then it is read in one
pass whose memory does not grow; a report says what was found, what was left out and why. The recording goes into
``training.train_tokenizer``, or ``python -m training.learn SOURCE`` does all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from genie_env.command import run
from genie_env.data.episodes import EpisodeStore
from training.sources.choice import open_source
from training.sources.importing import write_recording
from training.sources.reader import Wanted, described


@dataclass(frozen=True)
class ImportConfig:
    """Turn films, arrays or data sets into a recording."""

    source: tyro.conf.Positional[str]
    """Film, folder of films, .npz, .npy, minari:ID, or folder of a data set."""
    out: Path
    """Folder to make; it appears only when the recording is complete."""
    fps: float | None = None
    """Frames a second to keep; the default is the film's own rate, at most 15. Arrays are never thinned out."""
    crop: tuple[int, int, int, int] | None = None
    """Rows top, bottom and columns left, right to keep, in pixels of the picture as shown; by default black bars are
    measured and cut off."""
    keep_bars: bool = False
    """Keep black bars at the edges of films."""
    image_size: int = 64
    """Edge of a frame in pixels, a multiple of 8; pictures are squeezed into squares."""
    mixed_shapes: bool = False
    """Accept films of several shapes in one recording."""
    actions: Literal["keep", "ignore"] = "keep"
    """Whether to keep recorded actions; without them, latent actions are learned."""
    action_codes: int = 8
    """Groups that continuous actions are sorted into, from 2 to 64."""
    pictures: str = ""
    """Name of the pictures in a data set that has several cameras."""


def import_frames(config: ImportConfig) -> EpisodeStore:
    """Write the recording and print what was found.

    Raises:
        ValueError: if the source cannot become a recording, or ``out`` exists; nothing is left then.
    """
    reader = open_source(config.source, wanted(config))
    settings = {"imported": reader.report.kind, "files": Path(config.source).name, "fps": reader.source.fps}
    store = write_recording(reader, config.out, settings)
    print(described(reader.report))
    print(store.summary())
    return store


def wanted(config: ImportConfig) -> Wanted:
    """What the recording shall be like.

    Raises:
        ValueError: if a setting is out of range.
    """
    return Wanted(
        image_size=config.image_size,
        fps=config.fps,
        crop=config.crop,
        keep_bars=config.keep_bars,
        mixed_shapes=config.mixed_shapes,
        actions=config.actions,
        action_codes=config.action_codes,
        pictures=config.pictures,
    )


if __name__ == "__main__":
    raise SystemExit(run(import_frames, ImportConfig, description=__doc__))
