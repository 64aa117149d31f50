"""One vector environment whose rows are shared out over the machines of a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from genie_env.cluster.libraries import LOCAL, join_cluster
from genie_env.cluster.merge import merged_infos
from genie_env.cluster.rows import Call, RowsElsewhere
from genie_env.envs.options import (
    RESET_OPTIONS,
    check_diversity,
    check_reset_options,
    check_temperature,
    check_whole,
    plain,
)
from genie_env.envs.vector_env import GenieVectorEnv


class ClusterVectorEnv(GenieVectorEnv):
    """``num_envs`` dreams on several workers: ``gym.make_vec("Genie/Cluster-v0", 64, world="pong", address="auto")``.

    Equal to a :class:`~genie_env.envs.vector_env.GenieVectorEnv` of all rows, seeds, ends and information included; on
    CPUs to the byte, however many workers there are. A worker that dies is replaced, and its rows go on where they
    were: no step is lost and none counts twice.
    """

    def __init__(
        self,
        world: str | Path | None = None,
        num_envs: int = 1,
        *,
        address: str = LOCAL,
        workers: int = 2,
        **options: Any,
    ) -> None:
        """Join the cluster and start the workers.

        Args:
            world: bundled name, or a folder that every machine has in the same place.
            num_envs: rows.
            address: of the Ray cluster: ``host:port``, ``auto``, or ``local`` for processes of this machine.
            workers: processes that share the rows; each takes one CPU of the cluster.
            options: of the vector environment, such as ``autoreset_mode`` and ``temperature``.

        Raises:
            ValueError: if an option is not as expected, there is no cluster, or a machine has another world.
        """
        # Checks every option and knows the spaces; its own dreams never begin, so that no weights are loaded here.
        super().__init__(world, num_envs, **options)
        count = check_whole("workers", workers)
        if count > self.num_envs:
            raise ValueError(f"workers: expected at most one for each of {self.num_envs} rows, got {count}")
        join_cluster(address, count)
        parts = np.array_split(np.arange(self.num_envs), count)
        self._rows = [slice(int(part[0]), int(part[-1]) + 1) for part in parts]
        self._workers = [RowsElsewhere(str(world), len(part), plain(options)) for part in parts]
        for worker in self._workers:
            worker.require_world(self.config)
        self._seen: np.ndarray | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Restart all rows, or those of ``options["reset_mask"]``; as in the vector environment.

        Raises:
            ValueError: if an option or the seeds are not as expected; no row changes then.
        """
        self._refuse_hidden_settings()
        wanted = check_reset_options(options, (*RESET_OPTIONS, "reset_mask"))
        seeds, mask_B = self._row_seeds(seed), np.zeros(self.num_envs, dtype=bool)
        mask_B[self._masked_rows(wanted.pop("reset_mask", None))] = True
        if self._seen is None and not mask_B.all():
            raise gym.error.ResetNeeded("the first reset must cover all rows")
        frames = wanted.pop("frames", None)
        if frames is not None and len(frames) != mask_B.sum():
            raise ValueError(f"frames: expected one clip for each of the {mask_B.sum()} rows, got {len(frames)}")
        calls: list[Call | None] = []
        for rows in self._rows:
            own = {**wanted, "reset_mask": mask_B[rows]}
            if frames is not None:
                own["frames"] = np.asarray(frames)[mask_B[: rows.start].sum() : mask_B[: rows.stop].sum()]
            calls.append(("reset", (), {"seed": seeds[rows], "options": own}) if mask_B[rows].any() else None)
        results = self._everywhere(calls)
        self._ended_B[mask_B] = False
        # A worker without a row to restart was not asked: its rows show what they showed.
        seen = [
            self._last(rows) if result is None else result[0] for rows, result in zip(self._rows, results, strict=True)
        ]
        return self._shown(seen), self._merged([result and result[1] for result in results])

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Dream one frame further in every row; rows that ended are handled by the autoreset mode.

        Raises:
            ValueError: if ``actions`` are not B members of the action space.
        """
        self._refuse_hidden_settings()
        actions = self._check_actions(actions)
        self._require_running()
        results = self._everywhere([("step", (actions[rows],), {}) for rows in self._rows])
        obs, rewards, terminated, truncated, infos = zip(*results, strict=True)
        rewards_B, terminated_B, truncated_B = map(np.concatenate, (rewards, terminated, truncated))
        # Under the other modes rows restart by themselves.
        self._ended_B = (terminated_B | truncated_B) & (self.autoreset_mode == AutoresetMode.DISABLED)
        return self._shown(obs), rewards_B, terminated_B, truncated_B, self._merged(infos)

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The present frame of every row, uint8 [H, W, 3] each."""
        if self.render_mode != "rgb_array":
            return None
        return tuple(frame.copy() for frames in self._call("render") for frame in frames)

    def snapshot(self) -> Any:
        """Everything that decides how the dreams go on; give it to :meth:`restore`, any number of times."""
        return self._call("snapshot"), None if self._seen is None else self._seen.copy()

    def restore(self, state: Any) -> None:
        """Go back to a snapshot, generators included.

        Raises:
            ValueError: if it was not made by an environment of this world, number of rows and workers.
        """
        if not isinstance(state, tuple) or len(state) != 2 or len(state[0]) != len(self._workers):
            raise ValueError(f"snapshot: expected what snapshot() returned with {len(self._workers)} workers")
        self._everywhere([("restore", (part,), {}) for part in state[0]])
        self._seen = None if state[1] is None else state[1].copy()

    @property
    def temperature(self) -> float:
        """Sampling temperature (of the first row); setting it sets it now and for later resets."""
        return self._call("__getattribute__", "temperature")[0]

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._call("__setattr__", "temperature", check_temperature(value))

    @property
    def action_diversity(self) -> float:
        """Probability that an action is replaced (of the first row); set like ``temperature``."""
        return self._call("__getattribute__", "action_diversity")[0]

    @action_diversity.setter
    def action_diversity(self, value: float) -> None:
        self._call("__setattr__", "action_diversity", check_diversity(value))

    @property
    def replaced_workers(self) -> int:
        """Workers that died and were replaced so far."""
        return sum(worker.replaced for worker in self._workers)

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers; the cluster stays."""
        for worker in vars(self).get("_workers", []):
            worker.close()

    def _call(self, name: str, *args: Any) -> list[Any]:
        return self._everywhere([(name, args, {})] * len(self._workers))

    def _everywhere(self, calls: list[Call | None]) -> list[Any]:
        """Results of one call for each worker (None: none), all of them or, after an error, as if there were none."""
        asked = [(worker, call) for worker, call in zip(self._workers, calls, strict=True) if call is not None]
        sent = [(worker, call, worker.begin(call)) for worker, call in asked]
        results, done, refused = {}, [], None
        for worker, call, future in sent:
            try:
                results[worker] = worker.finish(future, call)
                done.append(worker)
            except (ValueError, gym.error.Error) as error:
                refused = error
        if refused is not None:
            for worker in done:
                worker.undo()
            raise refused
        for worker in done:
            worker.keep()
        return [results.get(worker) for worker in self._workers]

    def _last(self, rows: slice) -> np.ndarray:
        assert self._seen is not None
        return self._seen[rows]

    def _shown(self, parts: Any) -> np.ndarray:
        """Observations of all rows, of which a copy is kept."""
        obs = np.concatenate(list(parts))
        self._seen = obs.copy()
        return obs

    def _merged(self, infos: Any) -> dict[str, Any]:
        return merged_infos(list(infos), [rows.stop - rows.start for rows in self._rows])
