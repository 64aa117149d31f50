"""The vector environment: many rows of dreams, one batched forward a step, rows reset on their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from genie_env.envs.dream_batch import Snapshot, action_space, observation_space
from genie_env.envs.dream_env import DreamEnv, whole_fps
from genie_env.envs.infos import reset_values, step_values
from genie_env.envs.options import RESET_OPTIONS, ResolvedOptions, check_reset_options, check_whole
from genie_env.rollout.records import DreamStep


class GenieVectorEnv(DreamEnv, gym.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """``num_envs`` dreams of one world, advanced together: ``gym.make_vec("Genie/Pong-v0", num_envs=64)``.

    Spaces, options and information are those of :class:`~genie_env.envs.env.GenieEnv`; row i behaves like a single
    environment seeded with seed + i. ``options={"frames": …}`` takes one clip a row, uint8 [B, T, H, W, 3], or one
    picture a row, uint8 [B, H, W, 3].

    On a CPU in float32 that likeness is exact to the byte, whatever the number of rows and of torch threads, and
    whenever the rows are reset. On other devices and with ``compile=True`` rounding may change a sampled token.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        world: str | Path | None = None,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Check the options; weights are loaded at the first reset.

        Args:
            world: bundled name, folder or ``hf://`` address.
            num_envs: rows.
            max_episode_steps: rows truncate by themselves after so many steps; None, or Gymnasium's -1, never does.
            autoreset_mode: when rows that ended restart; by its name (``"NextStep"``, ``"SameStep"``,
                ``"Disabled"``) it leaves ``spec`` JSON-plain.
            render_mode: None or ``"rgb_array"``.
            options: fields of :class:`~genie_env.envs.options.EnvOptions`.

        Raises:
            MissingWorldError: without a world.
            ValueError: if an option or the world's bundle is not as expected.
            TypeError: if there is no such option.
        """
        num_envs = check_whole("num_envs", num_envs)
        endless = max_episode_steps is None or max_episode_steps == -1
        self._max_steps = None if endless else check_whole("max_episode_steps", max_episode_steps)
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode: a vector environment knows None and 'rgb_array', got {render_mode!r}")
        self._open(world, num_envs, options)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        own = {"render_fps": whole_fps(self.config), "autoreset_mode": self.autoreset_mode}
        self.metadata = {**type(self).metadata, **own}
        self.single_observation_space = observation_space(self.config, self.options.obs_type)
        self.single_action_space = action_space(self.config, self.options.action_type)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._ended_B = np.zeros(num_envs, dtype=bool)
        self._sealed = type(self) is GenieVectorEnv

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Restart all rows, or those of ``options["reset_mask"]`` (bool [B]).

        Args:
            seed: row i gets seed + i; or one seed (or None) a row.
            options: as in the single environment, and ``reset_mask``.

        Raises:
            ValueError: if an option or the seeds are not as expected; no row changes then.
        """
        self._refuse_hidden_settings()
        wanted = check_reset_options(options, (*RESET_OPTIONS, "reset_mask"))
        rows = self._masked_rows(wanted.pop("reset_mask", None))
        if wanted.get("frames") is not None:
            wanted["frames"] = _as_clips(wanted["frames"])
        seeds = self._row_seeds(seed)
        known = self._dreams.generators
        generators = [
            seeding.np_random(seeds[row])[0] if known[row] is None or seeds[row] is not None else known[row]
            for row in rows
        ]
        self._dreams.reset_rows(rows, generators, wanted)
        self._ended_B[rows] = False
        return self._dreams.observations(), _reset_infos(self.num_envs, rows, self.options)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Dream one frame further in every row; rows that ended are handled by the autoreset mode.

        Raises:
            ValueError: if ``actions`` are not B members of the action space.
        """
        self._refuse_hidden_settings()
        actions = self._check_actions(actions)
        self._require_running()
        awaiting = np.flatnonzero(self._ended_B)
        result = self._dreams.step(actions)
        steps_B = self._dreams.step_B
        truncated_B = np.zeros(self.num_envs, dtype=bool) if result.truncated_B is None else result.truncated_B.copy()
        if self._max_steps is not None:
            truncated_B |= steps_B >= self._max_steps
        rewards_B, terminated_B = result.reward_B, result.terminated_B
        infos = _step_infos(result, steps_B)
        if len(awaiting):
            # Discard the step just computed for these rows; they restart.
            self._restart(awaiting, infos)
            rewards_B[awaiting], terminated_B[awaiting], truncated_B[awaiting] = 0.0, False, False
        self._ended_B = terminated_B | truncated_B
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended_B.any():
            infos |= self._finish_in_place(infos)
        return self._dreams.observations(), rewards_B, terminated_B, truncated_B, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The present frame of every row, uint8 [H, W, 3] each."""
        return tuple(self._dreams.frames()) if self.render_mode == "rgb_array" else None

    def snapshot(self) -> tuple[Snapshot, np.ndarray]:
        """Everything that decides how the dreams go on; give it to :meth:`restore`, any number of times."""
        return self._dreams.snapshot(), self._ended_B.copy()

    def restore(self, state: tuple[Snapshot, np.ndarray]) -> None:
        """Go back to a snapshot, generators included.

        Raises:
            ValueError: if it was not made by a vector environment of this world and number of rows and members.
        """
        if not isinstance(state, tuple) or len(state) != 2:
            raise ValueError(f"snapshot: expected what snapshot() returned, got {state!r}")
        self._dreams.restore(state[0])
        self._ended_B = state[1].copy()

    def _restart(self, rows: np.ndarray, infos: dict[str, Any]) -> None:
        """Restart ``rows`` as a reset without options does, and write that into ``infos``."""
        self._dreams.reset_rows(rows, [self._dreams.generators[row] for row in rows], {})  # type: ignore[misc]
        for name, value in reset_values(self.options).items():
            infos[name][rows] = value

    def _finish_in_place(self, infos: dict[str, Any]) -> dict[str, Any]:
        """Same-step autoreset: put final observations and infos aside, then restart the ended rows."""
        ended_B, rows = self._ended_B, np.flatnonzero(self._ended_B)
        final_obs = np.full(self.num_envs, None, dtype=object)
        for row, observation in zip(rows, self._dreams.observations(rows), strict=True):
            final_obs[row] = observation
        final_info = {name: np.where(ended_B, value, np.zeros_like(value)) for name, value in infos.items()}
        self._restart(rows, infos)
        self._ended_B = np.zeros_like(ended_B)
        return {
            "final_obs": final_obs,
            "_final_obs": ended_B.copy(),
            "final_info": final_info,
            "_final_info": ended_B.copy(),
        }

    def _check_actions(self, actions: Any) -> np.ndarray:
        actions = np.asarray(actions)
        count = int(self.single_action_space.n)  # type: ignore[attr-defined]
        if (
            actions.shape != (self.num_envs,)
            or not np.issubdtype(actions.dtype, np.integer)
            or actions.min() < 0
            or actions.max() >= count
        ):
            raise ValueError(f"actions: expected {self.num_envs} integers from 0 to {count - 1}, got {actions!r}")
        return actions

    def _require_running(self) -> None:
        awaiting = np.flatnonzero(self._ended_B)
        if self.autoreset_mode == AutoresetMode.DISABLED and len(awaiting):
            raise gym.error.ResetNeeded(f"rows {awaiting.tolist()} ended; reset them with options={{'reset_mask': …}}")

    def _masked_rows(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.arange(self.num_envs)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(f"reset_mask: expected bool [{self.num_envs}] with at least one True, got {mask!r}")
        return np.flatnonzero(mask)

    def _row_seeds(self, seed: Any) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        one = isinstance(seed, (int, np.integer))
        seeds = [seed + row for row in range(self.num_envs)] if one else list(seed) if np.iterable(seed) else []
        fits = all(s is None or (isinstance(s, (int, np.integer)) and s >= 0) for s in seeds)
        if len(seeds) != self.num_envs or not fits:
            raise ValueError(f"seed: expected an integer >= 0, or one for each of {self.num_envs} rows, got {seed!r}")
        return [None if s is None else int(s) for s in seeds]


def _as_clips(frames: Any) -> np.ndarray:
    """Clips [R, T, H, W, 3], one a row, from clips or single pictures [R, H, W, 3]."""
    frames = np.asarray(frames)
    return frames[:, None] if frames.ndim == 4 else frames


def _autoreset_mode(value: Any) -> AutoresetMode:
    try:
        return AutoresetMode(value)
    except ValueError:
        names = [mode.value for mode in AutoresetMode]
        raise ValueError(f"autoreset_mode: expected one of {names}, got {value!r}") from None


def _step_infos(result: DreamStep, steps_B: np.ndarray) -> dict[str, Any]:
    values = step_values(result, steps_B)
    all_rows = np.ones(len(steps_B), dtype=bool)
    return {**values, **{f"_{name}": all_rows.copy() for name in values}}


def _reset_infos(num_envs: int, rows: np.ndarray, options: ResolvedOptions) -> dict[str, Any]:
    restarted_B = np.zeros(num_envs, dtype=bool)
    restarted_B[rows] = True
    infos: dict[str, Any] = {}
    for name, value in reset_values(options).items():
        infos[name] = np.where(restarted_B, value, np.zeros(1, dtype=type(value)))
        infos[f"_{name}"] = restarted_B.copy()
    return infos
