"""Which reader a source needs, by what it is and never by what its name promises alone."""

from __future__ import annotations

from pathlib import Path

from training.sources.arrays import ArrayReader
from training.sources.films import FilmReader
from training.sources.lerobot import LeRobotReader
from training.sources.minari_data import MINARI, MinariReader, minari_folder
from training.sources.reader import Reader, Wanted


def is_foreign(source: str) -> bool:
    """Whether ``source`` is gameplay that somebody else recorded, not a game and not a recording of this project."""
    path = Path(source)
    return source.startswith(MINARI) or (path.exists() and not (path / "manifest.json").exists())


def open_source(source: str, wanted: Wanted) -> Reader:
    """Look at a source.

    Raises:
        ValueError: if nothing is there, or it cannot become a recording.
    """
    if source.startswith(MINARI):
        return MinariReader(minari_folder(source), wanted)
    path = Path(source)
    if not path.exists():
        raise ValueError(
            f"{source}: expected a film, a folder of films, an .npz or .npy file, minari:ID or the folder of a data "
            "set; there is nothing of that name"
        )
    if path.is_dir():
        if (path / "manifest.json").exists():
            raise ValueError(
                f"{source}: is a recording already; learn from it with `python -m training.learn {source}`"
            )
        if (path / "meta" / "info.json").exists():
            return LeRobotReader(path, wanted)
        if (path / "main_data.hdf5").exists() or (path / "data" / "main_data.hdf5").exists():
            return MinariReader(path, wanted)
        if any(path.glob("*.npz")) or any(path.glob("*.npy")):
            return ArrayReader(sorted([*path.glob("*.npz"), *path.glob("*.npy")]), path, wanted)
    elif path.suffix.lower() in (".npz", ".npy"):
        return ArrayReader([path], path, wanted)
    return FilmReader(path, wanted)
