"""The same step in every runtime, side by side: torch, torch compiled, onnxruntime, and the page in a browser.

Runtimes take turns, so that whatever else happens to the machine happens to all of them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from genie_env.bench.clock import time_calls
from genie_env.bench.work import step_work
from genie_env.bundle import Bundle, open_bundle, read_starts
from genie_env.rollout.torch_runtime import compiled_step
from genie_env.world import World

CPU = torch.device("cpu")
BLOCK = 20
"""Calls of one runtime before it is another's turn."""
WARM_UP = 3
CEILING_SIZES = (512, 1024)


class RuntimeSpeed(NamedTuple):
    """Speed of the step of a world, tokens only, in one runtime."""

    runtime: str
    rows: int
    threads: int
    steps_per_second: float
    """Of all rows together, by the median step."""
    p50_ms: float
    p99_ms: float
    of_torch: float
    """Steps per second against torch without a compiler, with as many rows and threads."""
    of_ceiling: float
    """Useful operations per second against the fastest matrix product of any library with as many threads."""


def measure_runtimes(
    name: str, world: World, rows: int, threads: int, num_steps: int, max_seconds: float, compile: bool = False
) -> list[RuntimeSpeed]:
    """Time the step of every runtime that is installed, on the CPU.

    Args:
        name: of the world, or its folder.
        world: the same, opened on the CPU.
        rows: stepped together.
        threads: of each runtime.
        num_steps: steps of each runtime.
        max_seconds: take fewer, but at least ``BLOCK``, if they would take longer than about this in all.
        compile: also time torch's step as ``torch.compile`` builds it.
    """
    bundle, before = open_bundle(name), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = {"torch": _torch_step(world, rows)}
        if compile:
            steps["torch, compiled"] = _torch_step(world, rows, compiled=True)
        steps |= dict(_onnx_step(bundle, rows, threads))
        times = _take_turns(steps, num_steps, max_seconds)
        ceiling = _ceiling(threads)
    finally:
        torch.set_num_threads(before)
    flops = step_work(world, rows, world.config.sampling, pixels=False).flops
    usual = float(np.median(times["torch"]))
    return [
        RuntimeSpeed(
            runtime,
            rows,
            threads,
            rows / (p50 := float(np.median(seconds))),
            1000 * p50,
            1000 * float(np.percentile(seconds, 99)),
            usual / p50,
            flops / p50 / ceiling,
        )
        for runtime, seconds in times.items()
    ]


def _take_turns(steps: dict[str, Callable[[], Any]], num_steps: int, max_seconds: float) -> dict[str, np.ndarray]:
    """Seconds of each step of each runtime."""
    taken: dict[str, list[np.ndarray]] = {runtime: [] for runtime in steps}
    for step in steps.values():
        time_calls(step, CPU, WARM_UP)
    spent = 0.0
    for _ in range(-(-num_steps // BLOCK)):
        for runtime, step in steps.items():
            taken[runtime].append(time_calls(step, CPU, BLOCK))
            spent += float(taken[runtime][-1].sum())
        if spent > max_seconds:
            break
    return {runtime: np.concatenate(parts) for runtime, parts in taken.items()}


def _actions(world: World | Bundle, rows: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    return itertools.cycle(rng.integers(world.config.dynamics.num_actions, size=(32, rows)))


def _prompt(bundle_starts: Sequence[np.ndarray], rows: int) -> tuple[np.ndarray, np.ndarray]:
    tokens, actions = bundle_starts
    which = np.arange(rows) % len(tokens)
    return tokens[which], actions[which]


def _torch_step(world: World, rows: int, compiled: bool = False) -> Callable[[], Any]:
    engine, actions = world.engine(), _actions(world, rows)
    tokens, actions_between = _prompt([part.numpy() for part in world.starts], rows)
    state = engine.start(torch.from_numpy(tokens), torch.from_numpy(actions_between), torch.arange(rows))
    step = compiled_step(engine) if compiled else engine.step
    heat_B = torch.full((rows,), world.config.sampling.temperature)
    return lambda: step(state, torch.from_numpy(next(actions)), heat_B)


def _onnx_step(bundle: Bundle, rows: int, threads: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The step in onnxruntime, where that is installed and knows the world's networks."""
    from genie_env.portable.kinds import missing

    if missing(bundle.config) is not None:
        return
    from genie_env.portable.engine import OnnxEngine
    from genie_env.portable.step import StepOptions

    sampling, actions = bundle.config.sampling, _actions(bundle, rows)
    engine = OnnxEngine(bundle, StepOptions(sampling, "latent", 5), threads)
    state = engine.start(*_prompt(read_starts(bundle), rows), np.arange(rows))
    heat_B, never_B = np.full(rows, sampling.temperature, np.float32), np.zeros(rows, np.float32)
    yield "onnx", lambda: engine.step(state, next(actions), heat_B, never_B)


@functools.cache
def _ceiling(threads: int) -> float:
    """Operations per second of the fastest square float32 product, in torch (with its present threads) or ONNX."""
    best = 0.0
    for size in CEILING_SIZES:
        a, b = torch.randn(2, size, size)
        out = torch.empty(size, size)
        products = [lambda a=a, b=b, out=out: torch.mm(a, b, out=out), *_onnx_product(size, threads)]
        for product in products:
            seconds = time_calls(product, CPU, 12)
            best = max(best, 2 * size**3 / float(seconds.min()))
    return best


def _onnx_product(size: int, threads: int) -> Iterator[Callable[[], Any]]:
    try:
        from genie_env.portable.graph import Graph
        from genie_env.portable.session import open_session, run
    except ImportError:
        return
    graph = Graph()
    weight = graph.constant(np.random.default_rng(0).standard_normal((size, size), np.float32))
    graph.output("out", graph.input("x", np.float32, size, size) @ weight, size, size)
    session = open_session(graph.model("product", "genie_env", "0", {}), Path(), threads)
    given = {"x": np.ones((size, size), np.float32)}
    yield lambda: run(session, ["out"], given)
