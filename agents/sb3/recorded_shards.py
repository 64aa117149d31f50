"""How far a recording by a learner is: shards on disk, parts of the way, and what a resume goes on with.

A learner's way has ten parts. A shard ends with each part, or earlier when it is full, so every episode belongs to one
part. What is needed to go on is written before the shard, whose last small file makes both count: after a kill at any
moment the finished shards are the truth, and only the unfinished one is played again.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from agents.sb3.recorded_games import RecordedGames
from genie_env.data.episodes import EpisodeStore, EpisodeWriter
from genie_env.files.atomic import write_json
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import read_json

FOLDER = "player"
"""Folder inside a recording for what is kept of who played."""
PROGRESS = "progress.json"
TENTHS = 10
"""Parts of a learner's way."""


@dataclass(frozen=True)
class Budget:
    """How long to play."""

    steps: int
    shard_steps: int
    minutes: float | None = None
    parts: int = TENTHS
    """Parts of the way, each with shards of its own."""

    def __post_init__(self) -> None:
        if self.steps < self.parts or self.shard_steps < 2:
            raise ValueError(
                f"expected steps >= {self.parts} and shard_steps >= 2, got {self.steps} and {self.shard_steps}"
            )
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ValueError(f"minutes: expected a number > 0, got {self.minutes}")

    def progress(self, steps: int, seconds: float) -> float:
        """Share of the way, from 0 to 1: of the steps or of the time, whichever is further."""
        of_time = seconds / (60 * self.minutes) if self.minutes is not None else 0.0
        return min(1.0, max(steps / self.steps, of_time))


@dataclass(frozen=True)
class ShardLine(JsonConfig):
    """One finished shard."""

    part: int
    """Part of the way, from 0."""
    steps: int
    """Steps up to its end, all shards before it included."""
    seconds: float
    """Time that these steps took, learning included."""
    kept: dict[str, float]
    """Numbers that a resume needs."""


@dataclass(frozen=True)
class Progress(JsonConfig):
    """All shards, and perhaps one more that was not finished."""

    shards: tuple[ShardLine, ...] = ()


class Shards:
    """Writes what was played, and knows how much that is."""

    def __init__(self, writer: EpisodeWriter, budget: Budget) -> None:
        """Find out where an interrupted recording stopped.

        Raises:
            ValueError: if the record of its progress cannot be read.
        """
        self.budget = budget
        self._writer, self._path = writer, writer.partial / FOLDER / PROGRESS
        self.lines = _finished(writer, self._path)
        # As if this process had begun when the first one did, and never stopped.
        self._began = time.perf_counter() - (self.lines[-1].seconds if self.lines else 0.0)
        self._played = 0
        self._part = self._current_part()

    @property
    def steps(self) -> int:
        """Steps in finished shards."""
        return self.lines[-1].steps if self.lines else 0

    @property
    def progress(self) -> float:
        """Share of the way, from 0 to 1."""
        return self.budget.progress(self.steps + self._played, self._seconds())

    @property
    def done(self) -> bool:
        """Whether the last shard is finished."""
        return bool(self.lines) and self.budget.progress(self.steps, self.lines[-1].seconds) >= 1

    @property
    def part(self) -> int:
        """Part of the way that the present shard belongs to, from 0."""
        return self._part

    def last_of_part(self) -> bool:
        """Whether the shard, if it ends here, is the last one of its part."""
        return self.progress >= 1 or self._current_part() > self._part

    def due(self, games: RecordedGames) -> bool:
        """Whether the shard ends here."""
        self._played = games.steps
        return games.steps > 0 and (games.steps >= self.budget.shard_steps or self.last_of_part())

    def close(self, games: RecordedGames, kept: dict[str, float] | None = None) -> None:
        """Write the shard; ``kept`` is found in :attr:`lines` after a resume."""
        line = ShardLine(self._part, self.steps + games.steps, self._seconds(), kept or {})
        write_json(self._path, Progress((*self.lines, line)).to_json())
        self._writer.write_shard(len(self.lines), games.take())
        self.lines.append(line)
        self._played = 0
        self._part = self._current_part()

    def bar(self) -> tqdm:
        """A bar that counts steps; of a recording that ends by the clock it does not know how many there will be."""
        return tqdm(
            total=self.budget.steps if self.budget.minutes is None else None,
            initial=self.steps,
            desc="record",
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    def finish(self) -> EpisodeStore:
        """Publish the recording."""
        return self._writer.finish(len(self.lines))

    def _current_part(self) -> int:
        return min(self.budget.parts - 1, int(self.budget.parts * self.progress))

    def _seconds(self) -> float:
        return time.perf_counter() - self._began


def _finished(writer: EpisodeWriter, path: Path) -> list[ShardLine]:
    """What is written of the finished shards."""
    count = 0
    while writer.has_shard(count):
        count += 1
    if not count:
        return []
    content = read_json(path, "the progress of a recording")
    try:
        lines = Progress.from_json(content).shards
    except ValueError as error:
        raise FileError(path, f"expected the progress of a recording ({error})") from None
    if len(lines) < count:
        raise FileError(path, f"expected the progress of {count} shards, got {len(lines)}; remove {writer.partial}")
    return list(lines[:count])
