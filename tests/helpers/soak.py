"""Step a vector environment for long and watch what the process holds: ``python -m tests.helpers.soak --world pong``.

After a warm-up, memory may grow by less than one in a hundred and open files not at all. Linux only.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
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
    """Kind of observation."""


class Held(NamedTuple):
    """What a process holds."""

    memory: int
    """Resident bytes."""
    files: int
    """Open file descriptors."""


def held() -> Held:
    """What this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")))


def soak(config: SoakConfig) -> tuple[Held, Held]:
    """What the process holds after the warm-up, and at the end."""
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
    first = None
    total = (config.warm_up + config.steps) // config.rows
    for step in tqdm(range(total), desc="soak", unit="step", disable=None):
        if first is None and step * config.rows >= config.warm_up:
            first = held()
        envs.step(envs.action_space.sample())
    last = held()
    envs.close()
    return first or last, last


def main() -> int:
    """Command line; the exit status says whether the process stayed as it was."""
    config = tyro.cli(SoakConfig, description=__doc__)
    first, last = soak(config)
    growth = last.memory / first.memory - 1
    print(
        f"{config.steps} steps at {config.rows} rows: memory {first.memory >> 20} MiB, growth {growth:+.3%}; ", end=""
    )
    print(f"open files {first.files}, then {last.files}")
    return int(growth >= MAX_GROWTH or last.files > first.files)


if __name__ == "__main__":
    sys.exit(main())
