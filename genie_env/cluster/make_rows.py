"""Rows of dreams on this machine or on a cluster, for commands with a flag ``--ray``. Imports Ray only then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode

from genie_env.envs.vector_env import GenieVectorEnv
from genie_env.registration import ANY, CLUSTER


def make_rows(
    world: str | Path, num_envs: int, *, ray: str | None = None, ray_workers: int = 2, **options: Any
) -> GenieVectorEnv:
    """A vector environment with same-step autoreset, the same one wherever its rows are.

    Args:
        world: bundled name or folder.
        num_envs: rows.
        ray: address of a Ray cluster, as in :class:`~genie_env.cluster.vector_env.ClusterVectorEnv`; None: this
            process.
        ray_workers: most processes of the cluster.
        options: of the vector environment.

    Raises:
        ImportError: if a cluster is asked for and ray is not installed.
        ValueError: as the environment.
    """
    shared = {} if ray is None else {"address": ray, "workers": min(ray_workers, num_envs)}
    envs = gym.make_vec(
        ANY if ray is None else CLUSTER,
        num_envs=num_envs,
        world=str(world),
        autoreset_mode=AutoresetMode.SAME_STEP,
        **shared,
        **options,
    )
    assert isinstance(envs, GenieVectorEnv)
    return envs
