"""Step a vector environment for long and watch what the process holds: ``python -m tests.helpers.soak --world pong``.

Prints what it holds after a warm-up and at the end: memory may grow by less than one in a hundred, and open files not
at all. POSIX only.
"""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

import gymnasium as gym
import psutil
import tyro
from tqdm import tqdm

import genie_env  # noqa: F401 (registers the ids)

MAX_GROWTH = 0.01


@dataclass(frozen=True)
class SoakConfig:
    """Step for long; exit with status 1 if the process grew."""

    world: str = "pong"
    """Bundled name or folder."""
    steps: int = 1_000_000
    """Environment steps after the warm-up, of all rows together."""
    rows: int = 64
    """Environments stepped together."""
    warm_up: int = 20_000
    """Environment steps before the first look."""
    max_episode_steps: int = 500
    """Short episodes, so that resets are soaked too."""
    obs_type: str = "rgb"
    """Kind of observations: rgb, grayscale or tokens."""
    minutes: float = float("inf")
    """Time limit in minutes; fewer steps are made where they would take longer."""


class Held(NamedTuple):
    """What a process holds."""

    memory: int
    """Resident bytes."""
    files: int
    """Open file descriptors."""

    def __str__(self) -> str:
        return f"memory {self.memory / 2**20:.1f} MiB, open files {self.files}"


def held() -> Held:
    """What this process holds now."""
    gc.collect()
    process = psutil.Process()
    return Held(process.memory_info().rss, process.num_fds())


def soak(config: SoakConfig) -> tuple[int, Held, Held]:
    """Environment steps made after the warm-up, and what the process holds at their start and end."""
    envs = gym.make_vec(
        "Genie/World-v0",
        num_envs=config.rows,
        world=config.world,
        obs_type=config.obs_type,
        max_episode_steps=config.max_episode_steps,
        action_diversity=0.1,
    )
    envs.action_space.seed(0)
    envs.reset(seed=0)
    for _ in range(config.warm_up // config.rows):
        envs.step(envs.action_space.sample())
    first, steps, deadline = held(), 0, time.monotonic() + 60 * config.minutes
    print(f"start: {first}", flush=True)
    with tqdm(total=config.steps, desc="soak", unit="step", disable=None) as bar:
        while steps < config.steps and time.monotonic() < deadline:
            envs.step(envs.action_space.sample())
            steps += config.rows
            bar.update(config.rows)
    last = held()
    print(f"end:   {last}", flush=True)
    envs.close()
    return steps, first, last


def main() -> int:
    """Command line; the exit status says whether the process stayed as it was."""
    config = tyro.cli(SoakConfig, description=__doc__)
    steps, first, last = soak(config)
    growth = last.memory / first.memory - 1
    print(f"{steps:,} steps at {config.rows} rows: memory {growth:+.3%}, open files {last.files - first.files:+d}")
    return int(growth >= MAX_GROWTH or last.files > first.files)


if __name__ == "__main__":
    sys.exit(main())
