"""Where a run of ``learn`` stands: the recipe as far as it is decided, and the minutes that each stage took.

Kept in one JSON file of the run, so that the same command goes on after a kill with the decisions it had made.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genie_env.files.atomic import read_json, write_json
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from training.engine.stamp import changes, describe
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
    settings: dict[str, Any] = field(default_factory=dict)
    """Flags that a run cannot change when it goes on, by name."""
    finished: bool = False
    """Whether the world is made and measured."""

    def but(self, **changes: Any) -> Progress:
        """The same with some fields replaced."""
        return dataclasses.replace(self, **changes)


def read_progress(run: Path, source: str, minutes: float, settings: Mapping[str, Any], module: str) -> Progress | None:
    """Progress of an earlier call; None where there was none.

    Args:
        run: its folder, which may come from anywhere: a module that it names is not imported.
        source: what is learned from.
        minutes: budget of the whole run.
        settings: flags that a run cannot change when it goes on.
        module: Python module that the caller named.

    Raises:
        ValueError: if the run belongs to another source or budget, or was begun with other flags.
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
    named = {before.recipe.module, before.recipe.record.get("module", "")} - {"", module}
    if named:
        raise FileError(path, f"needs the Python modules {sorted(map(str, named))}; if you trust them, use --module")
    # Of a run of an older version, which did not keep them, flags are not compared.
    now = {"source": source, "minutes": minutes, **(settings if before.settings else {})}
    found = changes({"source": before.source, "minutes": before.minutes, **before.settings}, now)
    if found:
        raise ValueError(f"{run}: was begun with {describe(found)}; use another --run or remove it")
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
    # A stage that was begun is known even if the process is killed in it.
    write_progress(run, progress.but(spent={**progress.spent, stage: progress.spent.get(stage, 0.0)}))
    try:
        yield after
    finally:
        minutes = progress.spent.get(stage, 0.0) + (time.monotonic() - began) / 60
        after[0] = after[0].but(spent={**after[0].spent, stage: minutes})
        write_progress(run, after[0])
