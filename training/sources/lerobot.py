"""Reader of LeRobotDataset v3 folders: films by PyAV and tables by pyarrow; its own package is not needed.

Owns that format, at its fixed places: ``meta/info.json``, ``meta/episodes/chunk-*/file-*.parquet``,
``data/chunk-*/file-*.parquet``, ``videos/<camera>/chunk-*/file-*.mp4``. Paths that the data set itself names are not
followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from genie_env.data.episodes import Episode
from genie_env.files.errors import FileError
from genie_env.files.reading import open_regular, read_json
from training.sources.actions import Actions, sort_actions
from training.sources.film import Damage, Film, look, moments
from training.sources.labelled import LONGEST, Rows, cut_episodes, source_of
from training.sources.rate import at_rate, small_picture
from training.sources.reader import LeftOut, Report, Used, Wanted, episode_length, require_frames

USUAL_FPS = 15.0
MOST_ROWS = 50_000_000
CHUNK = 256
CAMERA = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}")


class RobotEpisode(NamedTuple):
    """Where an episode's film and rows lie."""

    index: int
    length: int
    film: Path
    from_s: float


class RobotRows(NamedTuple):
    """What is known of the frames of all episodes, row by row."""

    episode_M: np.ndarray
    actions: np.ndarray | None
    rewards_M: np.ndarray | None
    done_M: np.ndarray | None


class LeRobotReader:
    """A LeRobotDataset that was looked at."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        """Look at its tables and films.

        Raises:
            ValueError: if it cannot be read, is of another version, has no film, or is too short.
        """
        self.report = Report("lerobot")
        self._folder, self._wanted = folder, wanted
        self._arrow, self._arrow_error = _import_parquet()
        info_fps, camera = self._read_info()
        self._every = max(1, round(info_fps / (wanted.fps or USUAL_FPS)))
        self._fps = info_fps / self._every
        self._rows_of, table = self._read_rows()
        self._episodes = self._read_episodes(camera)
        self._films: dict[Path, Film] = {}
        for path in dict.fromkeys(one.film for one in self._episodes):
            try:
                self._films[path] = look(path)
            except FileError as error:
                self.report.left_out.append(LeftOut(str(path.relative_to(folder)), error.problem))
        self._episodes = [one for one in self._episodes if one.film in self._films]
        self.expected_frames = sum(one.length for one in self._episodes) // self._every
        require_frames(self.expected_frames, self._fps, folder)
        self._table, self._actions = table, self._sort(table)
        known = table.rewards_M is not None or table.done_M is not None
        self.source = source_of(self._actions, known, wanted.image_size, self._fps, wanted.crop)
        self._longest = LONGEST if len(self._episodes) >= 10 else episode_length(self.expected_frames)

    def episodes(self) -> Iterator[Episode]:
        """Read the episodes in their order; damage in a film ends one."""
        frames = 0
        for one in self._episodes:
            damage = Damage()
            for episode in cut_episodes(self._rows(one, damage), self.source, self._longest):
                frames += len(episode.frames_THWC)
                yield episode
            if damage.packets:
                self.report.left_out.append(LeftOut(f"episode {one.index}", "its film is damaged from there on"))
        facts = f"{frames} frames of {len(self._episodes)} episodes at {self._fps:g}/s"
        self.report.used.append(Used(self._folder.name, facts))

    def _rows(self, one: RobotEpisode, damage: Damage) -> Iterator[Rows]:
        film, rows = self._films[one.film], self._rows_of[one.index]
        count = -(-one.length // self._every)
        crop = self._wanted.crop or (film.bars if not self._wanted.keep_bars else (0, film.height, 0, film.width))
        waiting: list[np.ndarray] = []
        number = 0
        for frame in at_rate(moments(one.film, damage, one.from_s), self._fps, one.from_s, count):
            if frame is None:
                if number or waiting:
                    break
                continue
            waiting.append(small_picture(frame, crop, self._wanted.image_size))
            if len(waiting) == CHUNK or number + len(waiting) == count:
                yield self._known(rows, np.stack(waiting), number, count)
                number, waiting = number + len(waiting), []
        if waiting:
            yield self._known(rows, np.stack(waiting), number, number + len(waiting))

    def _known(self, rows: slice, frames_THWC: np.ndarray, first: int, count: int) -> Rows:
        """Frames with what is known of each: its action, the rewards until the next one, whether the game ended."""
        steps = np.arange(first, first + len(frames_THWC))
        starts = rows.start + steps * self._every
        actions_T = np.zeros(len(steps))
        if self._table.actions is not None and self._actions.known:
            actions_T = self._actions.codes(self._table.actions[starts])
        rewards_T, ended_T = np.zeros(len(steps)), np.zeros(len(steps), bool)
        for index, start in enumerate(starts):
            until = slice(start, min(start + self._every, rows.stop))
            if self._table.rewards_M is not None:
                rewards_T[index] = self._table.rewards_M[until].sum()
            if self._table.done_M is not None:
                ended_T[index] = self._table.done_M[until].any()
        return Rows(frames_THWC, actions_T, rewards_T, ended_T, steps == count - 1)

    def _sort(self, table: RobotRows) -> Actions:
        return sort_actions([] if table.actions is None else [table.actions], self._wanted)

    def _read_info(self) -> tuple[float, str]:
        """Frames a second, and the camera whose films are read."""
        path = self._folder / "meta" / "info.json"
        info = read_json(path, "the facts of a LeRobotDataset")
        if not isinstance(info, dict) or not isinstance(info.get("features"), dict):
            raise FileError(path, "expected the facts of a LeRobotDataset, with features")
        version, fps = str(info.get("codebase_version")), info.get("fps")
        if not version.startswith("v3"):
            raise FileError(
                path, f"expected codebase_version v3.x, got {version[:20]!r}; convert it with LeRobot's own script"
            )
        if not isinstance(fps, (int, float)) or not 0.1 <= fps <= 1000:
            raise FileError(path, f"fps: expected a number from 0.1 to 1000, got {fps!r:.40}")
        cameras = [k for k, v in info["features"].items() if isinstance(v, dict) and v.get("dtype") == "video"]
        named = (
            [c for c in cameras if self._wanted.pictures in (c, c.rsplit(".", 1)[-1])]
            if self._wanted.pictures
            else cameras
        )
        if len(named) != 1 or not CAMERA.fullmatch(named[0]) or ".." in named[0]:
            problem = (
                f"has several cameras, {cameras[:9]}; choose with --pictures" if len(cameras) > 1 else "has no films"
            )
            raise FileError(path, problem)
        return float(fps), named[0]

    def _read_episodes(self, camera: str) -> list[RobotEpisode]:
        columns = [
            "episode_index",
            "length",
            *(f"videos/{camera}/{x}" for x in ("chunk_index", "file_index", "from_timestamp")),
        ]
        found = []
        for path in sorted((self._folder / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
            table = self._read_table(path, columns)
            for index, length, chunk, file, from_s in zip(*(table[name] for name in columns), strict=True):
                film = self._folder / "videos" / camera / f"chunk-{int(chunk):03d}" / f"file-{int(file):03d}.mp4"
                rows = self._rows_of.get(int(index))
                if rows is None or rows.stop - rows.start != int(length) or not 0 <= float(from_s) < 1e7:
                    self.report.left_out.append(
                        LeftOut(f"episode {int(index)}", "its rows and its length do not agree")
                    )
                    continue
                found.append(RobotEpisode(int(index), int(length), film, float(from_s)))
        if not found:
            raise FileError(self._folder, "expected episodes in meta/episodes, got none that can be used")
        return found

    def _read_rows(self) -> tuple[dict[int, slice], RobotRows]:
        """Rows of each episode, and what is known in all rows."""
        paths = sorted((self._folder / "data").glob("chunk-*/file-*.parquet"))
        if not paths:
            raise FileError(self._folder, "expected tables in data/chunk-*/file-*.parquet, got none")
        wanted = ["episode_index", "next.reward", "next.done"] + (["action"] if self._wanted.actions == "keep" else [])
        tables = [self._read_table(path, wanted, optional=True) for path in paths]
        if not all("episode_index" in table for table in tables):
            raise FileError(self._folder, "expected the column episode_index in every table of data/")
        columns = {n: np.concatenate([t[n] for t in tables]) for n in wanted if all(n in t for t in tables)}
        episode_M = columns["episode_index"].astype(np.int64)
        starts = np.flatnonzero(np.diff(episode_M, prepend=episode_M[0] - 1))
        rows_of = {
            int(episode_M[a]): slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(episode_M)], strict=True)
        }
        rewards_M, done_M = columns.get("next.reward"), columns.get("next.done")
        if rewards_M is not None and not np.isfinite(rewards_M.astype(np.float64)).all():
            raise FileError(self._folder, "next.reward: expected finite numbers, got NaN or infinite ones")
        return rows_of, RobotRows(episode_M, columns.get("action"), rewards_M, done_M)

    def _read_table(self, path: Path, columns: list[str], optional: bool = False) -> dict[str, np.ndarray]:
        """Columns of a table as arrays; lists of one length become a second axis."""
        arrow = self._arrow
        try:
            with open_regular(path) as (file, _):
                parquet = arrow.ParquetFile(file)
                present = set(parquet.schema_arrow.names)
                if not optional and (missing := [name for name in columns if name not in present]):
                    raise FileError(path, f"expected the columns {missing}")
                if parquet.metadata.num_rows > MOST_ROWS:
                    raise FileError(path, f"expected at most {MOST_ROWS} rows, got {parquet.metadata.num_rows}")
                table = parquet.read(columns=[name for name in columns if name in present])
                return {name: _array(path, name, table[name]) for name in table.column_names}
        except (OSError, self._arrow_error) as error:
            raise FileError(path, f"expected a Parquet table ({error})") from None


def _array(path: Path, name: str, column: Any) -> np.ndarray:
    if not len(column):
        return np.zeros(0)
    if column.null_count:
        raise FileError(path, f"{name}: expected a value in every row, got {column.null_count} without")
    column = column.combine_chunks()
    kind = str(column.type)
    if "list" not in kind:
        found = column.to_numpy(zero_copy_only=False)
    else:
        lengths = {len(part) for part in (column[0], column[len(column) - 1])}
        values = column.flatten().to_numpy(zero_copy_only=False)
        if len(lengths) != 1 or len(values) != len(column) * len(column[0]):
            raise FileError(path, f"{name}: expected lists of one length")
        found = values.reshape(len(column), -1)
    if found.dtype.kind not in "biuf":
        raise FileError(path, f"{name}: expected numbers, got {kind[:40]}")
    return found


def _import_parquet() -> tuple[ModuleType, type[Exception]]:
    """The reader of tables, and its error."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("reading LeRobot data sets needs pyarrow: pip install 'genie-env[films]'") from error
    return pyarrow.parquet, pyarrow.ArrowException
