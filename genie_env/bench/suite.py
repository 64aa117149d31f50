"""Every measurement of ``genie-env bench``, in order, with a progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from genie_env.bench.clock import IDLE_CORES, OtherLoad, machine
from genie_env.bench.parts import measure_memory, measure_shares
from genie_env.bench.report import FORMAT
from genie_env.bench.runtimes import measure_runtimes
from genie_env.bench.speed import (
    EnvSpeed,
    measure,
    measure_cache,
    measure_engine,
    measure_flatness,
    measure_sync,
)
from genie_env.bench.work import efficiency, measure_ceilings
from genie_env.bundle import load_world
from genie_env.world import World

ENVIRONMENT = "environment"
# More rows make these slow and tell nothing new.
MOST_UNCACHED_ROWS, MOST_SYNC_ROWS, MOST_RUNTIME_ROWS = 16, 64, 64
PAGE_STEPS = 300


class _Measurement(NamedTuple):
    table: str
    work: Callable[[], Any]


def run(
    world: str,
    rows: Sequence[int],
    num_steps: int,
    max_seconds: float,
    device: str = "auto",
    compile: bool = False,
    long: bool = False,
    browser: bool = False,
) -> dict[str, Any]:
    """Measure everything about a world's speed.

    Args:
        world: bundled name, folder or ``hf://`` address.
        rows: numbers of environments stepped together.
        num_steps: steps measured for each figure.
        max_seconds: measure fewer steps where they would take longer than about this.
        device: torch device, or ``"auto"``.
        compile: whether ``torch.compile`` builds the environments' step.
        long: also compare a step early and late in an episode.
        browser: also time the world's page in Chromium.

    Returns:
        plain data: ``machine``, ``valid`` (nothing else kept the machine busy) and ``tables`` of figures.

    Raises:
        ValueError: if an argument is not as expected.
    """
    if not rows or min(rows) < 1:
        raise ValueError(f"rows: expected whole numbers >= 1 (each the num_envs of an environment), got {list(rows)}")
    if num_steps < 1:
        raise ValueError(f"steps: expected a whole number >= 1, got {num_steps}")
    if not max_seconds > 0:
        raise ValueError(f"seconds: expected a number > 0, got {max_seconds}")
    opened = load_world(world, device)
    _warn_if_busy()
    load = OtherLoad()
    plan = [*_plan(world, opened, sorted(set(rows)), num_steps, max_seconds, device, compile, long, browser)]
    tables = _carry_out(plan)
    ceilings = measure_ceilings(opened.device)
    pictures = [row for row in tables[ENVIRONMENT] if row["obs_type"] == "rgb"]
    tables["useful work"] = [
        efficiency(opened, row["rows"], row["steps_per_second"], ceilings)._asdict() for row in pictures
    ]
    tables["ceilings"] = [ceilings._asdict()]
    others = load.cores()
    return {
        "format": FORMAT,
        "world": world,
        "compile": compile,
        "machine": {**machine(opened.device), "dtype": str(opened.dynamics.position.dtype).removeprefix("torch.")},
        "cores_busy_with_others": others,
        "valid": others <= IDLE_CORES,
        "tables": tables,
    }


def _warn_if_busy() -> None:
    """Say beforehand what would make all figures worthless."""
    load = OtherLoad()
    time.sleep(1.0)
    others = load.cores()
    if others > IDLE_CORES:
        print(f"other processes keep {others:.1f} cores busy: the figures will not be valid", file=sys.stderr)


def _plan(
    world: str,
    opened: World,
    rows: Sequence[int],
    num_steps: int,
    max_seconds: float,
    device: str,
    compile: bool,
    long: bool,
    browser: bool,
) -> Iterator[_Measurement]:
    def environment(obs_type: str, count: int) -> EnvSpeed:
        return measure(world, obs_type, count, num_steps, device, max_seconds, compile=compile)

    for obs_type in ("rgb", "tokens"):
        for count in rows:
            yield _Measurement(ENVIRONMENT, lambda o=obs_type, c=count: environment(o, c))
    for count in rows:
        yield _Measurement("engine", lambda c=count: measure_engine(opened, c, num_steps, max_seconds))
    for count in (c for c in rows if c <= MOST_UNCACHED_ROWS):
        yield _Measurement("cache", lambda c=count: measure_cache(opened, c, num_steps, max_seconds))
    for count in (c for c in rows if 1 < c <= MOST_SYNC_ROWS):
        yield _Measurement("SyncVectorEnv", lambda c=count: measure_sync(world, c, num_steps, device, max_seconds))
    for count in rows:
        yield _Measurement("share of time", lambda c=count: measure_shares(world, c, device))
    for count in rows:
        yield _Measurement("bytes", lambda c=count: measure_memory(opened, c))
    if opened.device.type == "cpu":
        for threads in sorted({1, torch.get_num_threads()}):
            for count in (c for c in rows if c <= MOST_RUNTIME_ROWS):
                yield _Measurement(
                    "runtimes",
                    lambda t=threads, c=count: measure_runtimes(world, opened, c, t, num_steps, max_seconds, compile),
                )
    if browser:
        # Imported here: few ask for it.
        from genie_env.bench.page import measure_page

        yield _Measurement("page", lambda: measure_page(world, PAGE_STEPS))
    if long:
        yield _Measurement("step early and late", lambda: measure_flatness(opened))


def _carry_out(plan: list[_Measurement]) -> dict[str, list[dict[str, Any]]]:
    from tqdm import tqdm

    tables: dict[str, list[dict[str, Any]]] = {}
    with tqdm(plan, unit="figure", leave=False, disable=None, file=sys.stderr) as bar:
        for part in bar:
            bar.set_description(part.table)
            figures = part.work()
            rows = figures if isinstance(figures, list) else [figures]
            tables.setdefault(part.table, []).extend(row._asdict() for row in rows)
    return tables
