"""The native vector environment as stable-baselines3 wants it: one batched forward a step instead of many.

Equal to ``DummyVecEnv`` of single environments, in observations, rewards, ends, infos and seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from genie_env.envs.vector_env import GenieVectorEnv
from genie_env.world import Prompts

_INFOS = ("action", "latent_action", "entropy", "step", "uncertainty", "too_uncertain")
"""Names in an environment's information; the last two are those of ensembles."""


class GenieVecEnv(VecEnv):
    """Adapter over a :class:`GenieVectorEnv` in same-step autoreset.

    A row that ends restarts in the same step; its last observation is ``info["terminal_observation"]``, and
    ``info["TimeLimit.truncated"]`` marks rows that were only cut off, so that learners bootstrap.
    """

    def __init__(self, envs: GenieVectorEnv, max_entropy: float = math.inf, starts: Prompts | None = None) -> None:
        """Adapt ``envs``.

        Args:
            envs: made with ``autoreset_mode=AutoresetMode.SAME_STEP``.
            max_entropy: rows whose frame has a mean token entropy above it, in nats, are truncated: there the
                world does not know what comes next, and what an agent would learn is not about the game.
            starts: beginnings that every reset draws from; the default is the world's own.

        Raises:
            ValueError: if the autoreset mode is another one.
        """
        if envs.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode: expected SAME_STEP, got {envs.autoreset_mode.name}")
        self.envs, self.max_entropy, self.starts = envs, max_entropy, starts
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> VecEnvObs:
        """Restart all rows with the seeds and options set before; fresh observations."""
        options = {"starts": self.starts, **self._merged_options()}
        observations, infos = self.envs.reset(seed=list(self._seeds), options=options)
        self.reset_infos = [_row_info(infos, row) for row in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Keep ``actions`` [B] for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all rows; observations [B, …], rewards float32 [B], dones bool [B], one info a row."""
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        ended = terminated | truncated
        rows = [_row_info(infos["final_info"] if ended[row] else infos, row) for row in range(self.num_envs)]
        for row in np.flatnonzero(ended).tolist():
            rows[row]["terminal_observation"] = infos["final_obs"][row]
            self.reset_infos[row] = _row_info(infos, row)
        lost = ~ended & (infos["entropy"] > self.max_entropy)
        if lost.any():
            for row in np.flatnonzero(lost):
                rows[row]["terminal_observation"] = observations[row].copy()
            observations, infos = self.envs.reset(options={"reset_mask": lost})
            for row in np.flatnonzero(lost).tolist():
                self.reset_infos[row] = _row_info(infos, row)
        for row, info in enumerate(rows):
            info["TimeLimit.truncated"] = bool((truncated[row] and not terminated[row]) or lost[row])
        # Algorithms change rewards in place (they add bootstrapped values), and must not change the environment's.
        return observations, rewards.astype(np.float32), ended | lost, rows

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the vector environment, once for each row asked for."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the vector environment, such as ``temperature``; rows share it.

        Raises:
            AttributeError: if it has no such attribute.
            ValueError: if only some rows are meant, or the value is not as expected.
        """
        self._require_all(indices)
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call a method of the vector environment once; its result stands for every row asked for."""
        result = getattr(self.envs, method_name)(*args, **kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """No row is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Pictures of all rows, if the render mode draws any."""
        return self.envs.render() or [None] * self.num_envs

    def _merged_options(self) -> dict[str, Any]:
        """One options dict for all rows: clips are stacked, anything else must be the same in every row."""
        first, *others = self._options
        merged = dict(first)
        if any(set(other) != set(first) for other in others):
            raise ValueError("reset options: expected the same names in every row")
        for name in merged:
            values = [options[name] for options in self._options]
            if name == "frames":
                merged[name] = np.stack(values)
            elif any(value != values[0] for value in values):
                raise ValueError(f"reset options: {name} must be the same in every row, got {values}")
        return merged

    def _require_all(self, indices: VecEnvIndices) -> None:
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ValueError("the rows of a vector environment share their attributes; expected indices=None")


def _row_info(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """The information of a single environment, as plain numbers."""
    return {name: infos[name][row].item() for name in _INFOS if name in infos}
