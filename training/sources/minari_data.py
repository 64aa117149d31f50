"""Reader of Minari data sets with pictures, from their HDF5 file by h5py; Minari itself is not needed.

Owns that format: ``episode_0/observations`` [T+1, …] and ``actions``, ``rewards``, ``terminations`` [T], pictures as
arrays or as JPEGs, alone or in a group. A link out of the file is not followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from genie_env.data.episodes import NO_ACTION, Episode
from genie_env.files.errors import FileError
from genie_env.files.reading import open_regular
from training.sources.actions import Actions, sort_actions
from training.sources.labelled import LONGEST, Rows, cut_episodes, source_of
from training.sources.pictures import Layout, decoded_picture, is_picture_shape, layout_of
from training.sources.reader import LeftOut, Report, Used, Wanted, episode_length, require_frames

MINARI = "minari:"
FILE = "main_data.hdf5"
JPEG = b"\xff\xd8"
DEEPEST = 5
MOST_EPISODES = 1_000_000
USUAL_FPS = 15.0
CHUNK = 256


class MinariEpisode(NamedTuple):
    """An episode that was looked at."""

    name: str
    steps: int
    actions: np.ndarray
    rewards_T: np.ndarray
    ended: bool


def minari_folder(source: str) -> Path:
    """Folder of ``minari:ID`` on this machine.

    Raises:
        ValueError: if it is not there; nothing is downloaded.
    """
    name = source.removeprefix(MINARI)
    root = Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
    folder = root / name
    if not name or ".." in Path(name).parts or Path(name).is_absolute() or not folder.is_dir():
        raise ValueError(f"{source}: expected a data set in {root}; download it with `minari download {name or 'ID'}`")
    return folder


class MinariReader:
    """A Minari data set that was looked at."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        """Look at every episode but its pictures.

        Raises:
            ValueError: if the data set cannot be read, has no pictures, or is too short.
        """
        self.report = Report("minari")
        self._path, self._wanted = _file_of(folder), wanted
        self._h5py = _import_h5py()
        with self._opened() as file:
            names = sorted(
                (n for n in file if n.startswith("episode_") and n[8:].isdecimal()), key=lambda n: int(n[8:])
            )
            if not names:
                raise FileError(self._path, "expected groups episode_0, episode_1 …; got none")
            self._pictures, self._layout = self._find_pictures(file, names[0])
            self._episodes = [one for name in names[:MOST_EPISODES] if (one := self._look(file, name)) is not None]
        fps = wanted.fps or USUAL_FPS
        self.expected_frames = sum(one.steps + 1 for one in self._episodes)
        require_frames(self.expected_frames, fps, folder)
        self._actions: Actions = sort_actions([one.actions for one in self._episodes], wanted)
        self.source = source_of(self._actions, True, wanted.image_size, fps, wanted.crop)
        self._longest = LONGEST if len(self._episodes) >= 10 else episode_length(self.expected_frames)

    def episodes(self) -> Iterator[Episode]:
        """Read the episodes in their order."""
        frames = 0
        with self._opened() as file:
            for one in self._episodes:
                try:
                    for episode in cut_episodes(self._rows(file, one), self.source, self._longest):
                        frames += len(episode.frames_THWC)
                        yield episode
                except (ValueError, OSError, RuntimeError) as error:
                    self.report.left_out.append(LeftOut(one.name, str(error)[:300]))
        self.report.used.append(Used(self._path.name, f"{frames} frames of {len(self._episodes)} episodes"))

    def _rows(self, file: Any, one: MinariEpisode) -> Iterator[Rows]:
        data = self._dataset(file, f"{one.name}/{self._pictures}")
        actions_T = self._actions.codes(one.actions) if self._actions.known else np.zeros(one.steps)
        padded = {"actions": np.append(actions_T, NO_ACTION), "rewards": np.append(one.rewards_T, 0.0)}
        last_T = np.arange(one.steps + 1) == one.steps
        for start in range(0, one.steps + 1, CHUNK):
            now = slice(start, min(start + CHUNK, one.steps + 1))
            frames_THWC = self._layout.small(_pictures(data, now), self._wanted.crop, self._wanted.image_size)
            yield Rows(
                frames_THWC, padded["actions"][now], padded["rewards"][now], last_T[now] & one.ended, last_T[now]
            )

    def _look(self, file: Any, name: str) -> MinariEpisode | None:
        try:
            pictures = self._dataset(file, f"{name}/{self._pictures}")
            actions, rewards, ends = (self._small(file, f"{name}/{x}") for x in ("actions", "rewards", "terminations"))
            steps = len(rewards)
            if len(pictures) != steps + 1 or len(actions) != steps or len(ends) != steps:
                raise ValueError(
                    f"expected one picture more than actions, rewards and ends, got {len(pictures)} pictures, "
                    f"{len(actions)} actions, {steps} rewards, {len(ends)} ends"
                )
            if not np.isfinite(rewards).all():
                raise ValueError("expected finite rewards, got NaN or infinite ones")
        except (ValueError, OSError, RuntimeError, KeyError) as error:
            self.report.left_out.append(LeftOut(name, str(error)[:300]))
            return None
        return MinariEpisode(name, steps, actions, rewards.astype(np.float32), bool(steps and ends[-1]))

    def _small(self, file: Any, path: str) -> np.ndarray:
        if self._wanted.actions == "ignore" and path.endswith("/actions"):
            return np.zeros(len(self._dataset(file, path.replace("/actions", "/rewards"))))
        data = self._dataset(file, path)
        if data.dtype.kind not in "biuf" or data.size > 10**8:
            raise ValueError(f"{path}: expected at most 10**8 numbers, got {data.dtype} {list(data.shape)}")
        return np.asarray(data[()])

    def _find_pictures(self, file: Any, first: str) -> tuple[str, Layout]:
        """Path of the pictures inside an episode, and their layout."""
        found = dict(self._walk(file, f"{first}/observations", "observations", 0))
        if self._wanted.pictures:
            wanted = self._wanted.pictures
            found = {
                name: layout for name, layout in found.items() if wanted in (name, name.removeprefix("observations/"))
            }
        if len(found) != 1:
            names = [name.removeprefix("observations/") for name in found]
            problem = (
                f"has several pictures, {names}; choose with --pictures"
                if found
                else "has no pictures among its observations"
            )
            raise FileError(self._path, problem)
        return next(iter(found.items()))

    def _walk(self, file: Any, path: str, name: str, depth: int) -> Iterator[tuple[str, Layout]]:
        node = self._node(file, path)
        if isinstance(node, self._h5py.Group):
            if depth < DEEPEST:
                for key in list(node)[:1000]:
                    yield from self._walk(file, f"{path}/{key}", f"{name}/{key}", depth + 1)
        elif len(node):
            rows = _pictures(self._dataset(file, path), slice(0, min(64, len(node))))
            if rows.ndim > 1 and is_picture_shape(rows.shape[1:]):
                yield name, layout_of(rows.shape[1:], rows)

    def _node(self, file: Any, path: str) -> Any:
        """What lies at a path, reached by hard links alone."""
        node = file
        for key in path.split("/"):
            link = node.get(key, getlink=True) if isinstance(node, self._h5py.Group) else None
            if not isinstance(link, self._h5py.HardLink):
                raise FileError(self._path, f"expected {path} inside the file, got {'a link' if link else 'nothing'}")
            node = node[key]
        return node

    def _dataset(self, file: Any, path: str) -> Any:
        node = self._node(file, path)
        if not isinstance(node, self._h5py.Dataset) or node.external or node.is_virtual or not node.shape:
            raise FileError(self._path, f"{path}: expected an array inside the file")
        return node

    def _opened(self) -> Any:
        try:
            return self._h5py.File(self._path, "r")
        except OSError as error:
            raise FileError(self._path, f"expected an HDF5 file ({error})") from None


def _pictures(data: Any, rows: slice) -> np.ndarray:
    """Some pictures of an array, decoded where they are JPEGs."""
    found = data[rows]
    if found.dtype == object or (found.ndim == 2 and found.dtype == np.uint8 and found[0, :2].tobytes() == JPEG):
        parts = [np.asarray(row) for row in found]
        if any(part.dtype != np.uint8 or part[:2].tobytes() != JPEG for part in parts):
            raise ValueError("pictures: expected arrays or JPEGs")
        return np.stack([decoded_picture(part.tobytes()) for part in parts])
    return found


def _file_of(folder: Path) -> Path:
    for path in (folder / "data" / FILE, folder / FILE):
        if path.exists():
            with open_regular(path):
                return path
    raise FileError(folder, f"expected a Minari data set with data/{FILE}; those stored as Arrow must be converted")


def _import_h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("reading Minari data sets needs h5py: pip install 'genie-env[minari]'") from error
    return h5py
