"""Reader of ``.npz`` and ``.npy`` files: pictures, and actions, rewards and ends where there are some.

Owns the names and shapes that are understood (docs/films.md). Knows nothing of how arrays are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genie_env.data.episodes import NO_ACTION, Episode
from genie_env.files.errors import FileError
from training.sources.actions import Actions, sort_actions
from training.sources.array_files import ArrayFacts, array_facts, read_all, read_rows
from training.sources.labelled import LONGEST, Rows, cut_episodes, source_of
from training.sources.pictures import Layout, is_picture_shape, layout_of
from training.sources.reader import LeftOut, Report, Used, Wanted, episode_length, odd_shapes, require_frames

FRAMES = ("frames", "observations", "observation", "obs", "images", "image", "pixels", "rgb", "video", "arr_0", "")
ACTIONS = ("actions", "action")
REWARDS = ("rewards", "reward")
ENDS = ("terminations", "terminated", "terminals", "dones", "done")
BREAKS = ("truncations", "truncated", "timeouts")
"""Names that are understood, the first of them that is there; all but the pictures may be missing."""
USUAL_FPS = 15.0
MOST_ROWS = 10**8
SAMPLE = 64


class ArrayFile(NamedTuple):
    """A file that was looked at; T rows of pictures."""

    path: Path
    pictures: ArrayFacts
    layout: Layout
    episodes: int
    """Episodes of an array [N, T, ...]; 0 for one without that axis."""
    actions_T: np.ndarray | None
    rewards_T: np.ndarray | None
    ended_T: np.ndarray | None
    last_T: np.ndarray
    """Where episodes end, whatever the reason."""

    @property
    def rows(self) -> int:
        """Pictures in it."""
        return len(self.last_T)


class ArrayReader:
    """Files of arrays that were looked at."""

    def __init__(self, paths: Sequence[Path], root: Path, wanted: Wanted) -> None:
        """Look at every file.

        Raises:
            ValueError: if none can be used, they are too short, or do not belong together.
        """
        self.report = Report("arrays")
        self._wanted = wanted
        self._files: list[ArrayFile] = []
        for path in paths:
            try:
                self._files.append(_look(path, wanted))
            except FileError as error:
                self.report.left_out.append(LeftOut(path.name, error.problem))
        if not self._files:
            listed = "; ".join(f"{one.name}: {one.reason}" for one in self.report.left_out[:3])
            raise ValueError(f"{root}: expected arrays with pictures, got none that can be used ({listed})")
        odd = odd_shapes([(f.path.name, (f.layout.height, f.layout.width)) for f in self._files], wanted)
        self.report.left_out += [LeftOut(name, reason) for name, reason in odd.items()]
        self._files = [file for file in self._files if file.path.name not in odd]
        fps = wanted.fps or USUAL_FPS
        self.expected_frames = sum(file.rows for file in self._files)
        require_frames(self.expected_frames, fps, root)
        self._actions = self._sort_actions()
        known = any(f.rewards_T is not None or f.ended_T is not None for f in self._files)
        self.source = source_of(self._actions, known, wanted.image_size, fps, wanted.crop)
        natural = sum(int(file.last_T.sum()) for file in self._files)
        self._longest = LONGEST if natural >= 10 else episode_length(self.expected_frames)

    def episodes(self) -> Iterator[Episode]:
        """Read the files one after another; what stands before damage in a file is used."""
        for file in self._files:
            frames = 0
            try:
                for episode in cut_episodes(self._rows(file), self.source, self._longest):
                    frames += len(episode.frames_THWC)
                    yield episode
            except ValueError as error:
                problem = error.problem if isinstance(error, FileError) else str(error)
                self.report.left_out.append(LeftOut(file.path.name, f"from frame {frames} on: {problem}"))
            if frames:
                shape = "x".join(map(str, file.pictures.shape))
                self.report.used.append(Used(file.path.name, f"{frames} of {file.rows} frames, {shape}"))

    def _rows(self, file: ArrayFile) -> Iterator[Rows]:
        start = 0
        for part in read_rows(file.path, file.pictures.name):
            rows = part.reshape(-1, *part.shape[2:]) if file.episodes else part
            frames_THWC = file.layout.small(rows, self._wanted.crop, self._wanted.image_size)
            now = slice(start, start + len(rows))
            start = now.stop
            nothing_T = np.zeros(len(rows))
            actions_T = nothing_T + NO_ACTION
            if file.actions_T is not None and self._actions.known:
                actions_T = self._actions.codes(file.actions_T[now])
            rewards_T = nothing_T if file.rewards_T is None else file.rewards_T[now]
            ended_T = nothing_T.astype(bool) if file.ended_T is None else file.ended_T[now]
            yield Rows(frames_THWC, actions_T, rewards_T, ended_T, file.last_T[now])

    def _sort_actions(self) -> Actions:
        given = [file.actions_T for file in self._files if file.actions_T is not None]
        if given and len(given) < len(self._files) and self._wanted.actions == "keep":
            missing = next(file.path.name for file in self._files if file.actions_T is None)
            raise ValueError(f"{missing}: has no actions, others do; leave them out with --actions ignore")
        return sort_actions(given, self._wanted)


def _look(path: Path, wanted: Wanted) -> ArrayFile:
    arrays = {facts.name: facts for facts in array_facts(path)}
    pictures = _pictures(path, arrays, wanted)
    episodes = pictures.shape[0] if len(pictures.shape) == 5 else 0
    length = pictures.shape[1] if episodes else pictures.shape[0]
    rows = max(1, episodes) * length
    sample = next(read_rows(path, pictures.name), np.zeros((0, *pictures.shape[1:]), pictures.dtype))
    sample = (sample[0] if episodes else sample)[:SAMPLE]
    try:
        layout = layout_of(pictures.shape[-3:] if episodes else pictures.shape[1:], sample)
    except ValueError as error:
        raise FileError(path, str(error)) from None

    def column(names: tuple[str, ...]) -> np.ndarray | None:
        found = next((arrays[name] for name in names if name in arrays), None)
        return None if found is None else _column(path, found, episodes, length)

    ended_T, breaks_T, rewards_T = column(ENDS), column(BREAKS), column(REWARDS)
    last_T = np.zeros(rows, bool)
    last_T[length - 1 :: max(1, length)] = True
    for ends_T in (ended_T, breaks_T):
        if ends_T is not None and not (episodes or _has_extra_frame(arrays, length)):
            last_T |= ends_T.reshape(rows).astype(bool)
    if rewards_T is not None and not (rewards_T.dtype.kind in "biuf" and np.isfinite(rewards_T).all()):
        raise FileError(path, "rewards: expected finite numbers, got NaN, infinite ones or none")
    return ArrayFile(
        path,
        pictures,
        layout,
        episodes,
        column(ACTIONS),
        None if rewards_T is None else rewards_T.reshape(rows).astype(np.float32),
        None if ended_T is None else ended_T.reshape(rows).astype(bool),
        last_T,
    )


def _has_extra_frame(arrays: dict[str, ArrayFacts], length: int) -> bool:
    """Whether there is one picture more than actions: the file is one episode, with its last picture."""
    names = (*ACTIONS, *REWARDS, *ENDS)
    return any(arrays[name].shape[:1] == (length - 1,) for name in names if name in arrays)


def _pictures(path: Path, arrays: dict[str, ArrayFacts], wanted: Wanted) -> ArrayFacts:
    names = (wanted.pictures,) if wanted.pictures else FRAMES
    for name in names:
        facts = arrays.get(name)
        if facts is None:
            continue
        inner = facts.shape[2:] if len(facts.shape) == 5 else facts.shape[1:]
        if is_picture_shape(inner) and facts.dtype.kind in "biuf" and 0 not in facts.shape:
            return facts
    listed = ", ".join(f"{one.name or 'array'} {one.dtype} {list(one.shape)}" for one in list(arrays.values())[:6])
    expected = wanted.pictures or "frames"
    raise FileError(
        path, f"has no pictures: expected {expected} [T, H, W, 3], [T, 3, H, W] or [T, H, W]; got {listed or 'nothing'}"
    )


def _column(path: Path, facts: ArrayFacts, episodes: int, length: int) -> np.ndarray:
    """One value or vector a row; the row of each last picture is filled up where it is missing."""
    values = read_all(path, facts, MOST_ROWS)
    values = values if episodes else values[None]
    if values.ndim < 2 or values.shape[0] != max(1, episodes) or values.shape[1] not in (length, length - 1):
        raise FileError(
            path,
            f"{facts.name}: expected {length} rows, or {length - 1}, for {length} pictures, got {list(facts.shape)}",
        )
    if values.dtype.kind not in "biuf":
        raise FileError(path, f"{facts.name}: expected numbers, got {values.dtype}")
    if values.shape[1] == length - 1:
        values = np.concatenate([values, np.zeros_like(values[:, :1])], axis=1)
    return values.reshape(-1, *values.shape[2:])
