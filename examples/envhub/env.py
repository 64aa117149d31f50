"""A world as LeRobot's EnvHub wants it: this file in a repository on the Hub gives ``lerobot-eval`` the environments.

EnvHub runs this file (``trust_remote_code=True``), and the world it opens stays data. Observations lie under
``pixels``, and ``info["is_success"]`` says whether an episode was won: its rewards sum to more than nothing.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import genie_env  # noqa: F401  registers the ids

SUITE = "genie"


class EnvHubRows(gym.vector.VectorWrapper):
    """Rows of dreams with EnvHub's names."""

    def __init__(self, envs: gym.vector.VectorEnv) -> None:
        super().__init__(envs)
        self.single_observation_space = gym.spaces.Dict({"pixels": envs.single_observation_space})
        self.observation_space = gym.spaces.Dict({"pixels": envs.observation_space})
        self._returns_B = np.zeros(self.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Restart the rows."""
        pixels, infos = self.env.reset(seed=seed, options=options)
        restarted_B = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool))
        self._returns_B[restarted_B] = 0.0
        return {"pixels": pixels}, self._with_success(infos, np.zeros(self.num_envs, dtype=bool))

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Dream one frame further in every row."""
        pixels, rewards_B, terminated_B, truncated_B, infos = self.env.step(actions)
        self._returns_B += rewards_B
        ended_B = terminated_B | truncated_B
        success_B = ended_B & (self._returns_B > 0)
        self._returns_B[ended_B] = 0.0
        if "final_obs" in infos:
            for row in np.flatnonzero(ended_B):
                infos["final_obs"][row] = {"pixels": infos["final_obs"][row]}
            infos["final_info"] = self._with_success(infos["final_info"], success_B)
        return {"pixels": pixels}, rewards_B, terminated_B, truncated_B, self._with_success(infos, success_B)

    def _with_success(self, infos: dict[str, Any], success_B: np.ndarray) -> dict[str, Any]:
        return {**infos, "is_success": success_B.copy(), "_is_success": np.ones(self.num_envs, dtype=bool)}


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None, **kwargs: Any
) -> dict[str, dict[int, gym.vector.VectorEnv]]:
    """Environments by suite and task, as EnvHub calls it.

    Args:
        n_envs: rows.
        use_async_envs: ignored: all rows are one batched forward, and processes would only slow it down.
        cfg: ignored: what EnvHub knows of the policy.
        kwargs: ``world`` (default ``"pong"``) and options of the environment.
    """
    world = kwargs.pop("world", "pong")
    envs = gym.make_vec("Genie/World-v0", n_envs, world=world, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)
    return {SUITE: {0: EnvHubRows(envs)}}
