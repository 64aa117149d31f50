"""Where a run of ``learn`` stands: the recipe as far as it is decided, and the minutes that each stage took.

Kept in one JSON file of the run, so that the same command goes on after a kill with the decisions it had made.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genie_env.files.atomic import read_json, write_json
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from training.recipes import Recipe

STATE = "learn.json"


@dataclass(frozen=True)
class Progress(JsonConfig):
    """Decisions and times of a run."""

    source: str
    """What was learned from, as it was named."""
    minutes: float
    """Budget of the whole run."""
    recipe: Recipe
    planned: dict[str, float] = field(default_factory=dict)
    """Minutes of each stage as planned."""
    spent: dict[str, float] = field(default_factory=dict)
    """Minutes of each stage that is done."""
    decided: tuple[str, ...] = ()
    """Decisions that were made: ``recording``, ``dynamics`` …"""

    def but(self, **changes: Any) -> Progress:
        """The same with some fields replaced."""
        return dataclasses.replace(self, **changes)


def read_progress(run: Path, source: str, minutes: float) -> Progress | None:
    """Progress of an earlier call; None where there was none.

    Raises:
        ValueError: if the run belongs to another source or budget.
    """
    path = run / STATE
    if not path.exists():
        return None
    try:
        before = Progress.from_json(read_json(path, "the progress of a run"))
    except FileError:
        raise
    except ValueError as error:
        raise FileError(path, f"expected the progress of a run ({error})") from None
    for name, value in (("source", source), ("minutes", minutes)):
        found = getattr(before, name)
        if found != value:
            raise ValueError(f"{run}: was begun with {name} {found!r}, not {value!r}; use another --run or remove it")
    return before


def write_progress(run: Path, progress: Progress) -> None:
    """Keep ``progress``; the file is whole or absent."""
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / STATE, progress.to_json())


@contextmanager
def timed(run: Path, progress: Progress, stage: str) -> Iterator[list[Progress]]:
    """Time a stage; the list holds the progress with its minutes added, also after an interruption.

    Minutes before an interruption count: a run that is stopped and goes on keeps its budget.
    """
    began, after = time.monotonic(), [progress]
    try:
        yield after
    finally:
        minutes = progress.spent.get(stage, 0.0) + (time.monotonic() - began) / 60
        after[0] = after[0].but(spent={**after[0].spent, stage: minutes})
        write_progress(run, after[0])
