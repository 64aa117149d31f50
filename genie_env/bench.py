"""Measures how fast a world steps. Knows the vector environment's API and the clock; prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch

import genie_env  # noqa: F401 (registers the ids)

WARM_UP_STEPS = 20


class Figures(NamedTuple):
    """What was measured for one kind of environment."""

    obs_type: str
    rows: int
    steps_per_second: float
    """Of all rows together."""
    p50_ms: float
    """Median time of one step of all rows."""
    p99_ms: float
    """Time that one step in a hundred exceeds."""


def measure(
    world: str, obs_type: str, rows: int, num_steps: int, device: str, tick: Callable[[], Any] = lambda: None
) -> Figures:
    """Step a native vector environment with random actions.

    Args:
        world: bundled name or folder.
        obs_type: ``"rgb"`` or ``"tokens"``.
        rows: environments stepped together.
        num_steps: measured steps, after a few that are not.
        device: torch device.
        tick: called after every measured step.

    Raises:
        ValueError: if an argument is not as expected.
    """
    if num_steps < 1:
        raise ValueError(f"steps: expected a whole number >= 1, got {num_steps}")
    envs = gym.make_vec("Genie/World-v0", num_envs=rows, world=world, obs_type=obs_type, device=device)
    try:
        envs.reset(seed=0)
        envs.action_space.seed(0)
        actions = [envs.action_space.sample() for _ in range(WARM_UP_STEPS + num_steps)]
        seconds = np.zeros(len(actions))
        for index, action in enumerate(actions):
            began = time.perf_counter()
            # The observation is a NumPy array, so a GPU has finished when step returns.
            envs.step(action)
            seconds[index] = time.perf_counter() - began
            tick()
    finally:
        envs.close()
    measured = seconds[WARM_UP_STEPS:]
    p50, p99 = np.percentile(measured, [50, 99]) * 1000
    return Figures(obs_type, rows, rows * num_steps / float(measured.sum()), float(p50), float(p99))


def measure_all(world: str, rows: Sequence[int], num_steps: int, device: str) -> Iterator[Figures]:
    """:func:`measure` for every number of rows, with pictures and with tokens only."""
    from tqdm import tqdm

    total = 2 * len(rows) * (WARM_UP_STEPS + num_steps)
    with tqdm(total=total, desc="measuring", unit="step", leave=False, disable=None) as bar:
        for obs_type in ("rgb", "tokens"):
            for count in rows:
                yield measure(world, obs_type, count, num_steps, device, lambda: bar.update())


def machine() -> dict[str, Any]:
    """What the figures depend on besides the world."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
