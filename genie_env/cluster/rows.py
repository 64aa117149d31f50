"""Rows of dreams in another process, which may be killed at any time: what was done to them is kept here.

Owns the journal and the replacement of a worker. Dreams are functions of their seeds, so a new worker that repeats the
journal is where the old one was. Knows nothing of how rows are put together.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from genie_env.cluster.libraries import RayActorError, RayTaskError, ray
from genie_env.config import WorldConfig
from genie_env.envs.vector_env import GenieVectorEnv

SNAPSHOT_EVERY = 200
"""Calls after which a snapshot replaces the journal: a replaced worker repeats no more than these."""
REPLACEMENTS = 5
"""Workers that may die in one call before the call fails: something must then be wrong with the call."""

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
"""Name, arguments and keywords of a method of the environment."""


class Worker:
    """The process that holds the rows; an actor of Ray."""

    def __init__(self, world: str, rows: int, options: dict[str, Any]) -> None:
        self._make = lambda: GenieVectorEnv(world, rows, **options)
        self._env = self._make()

    def world(self) -> dict[str, Any]:
        """Configuration of the world as this machine has it, checksums of its weights included."""
        return self._env.config.to_json()

    def call(self, call: Call) -> Any:
        """Call a method of the environment."""
        name, args, kwargs = call
        return getattr(self._env, name)(*args, **kwargs)

    def rebuild(self, snapshot: Any, calls: list[Call]) -> None:
        """Go to where a snapshot and the calls since then lead."""
        self._env = self._make()
        if snapshot is not None:
            self._env.restore(snapshot)
        for call in calls:
            self.call(call)


class RowsElsewhere:
    """A worker, its journal, and its replacement when it dies."""

    def __init__(self, world: str, rows: int, options: dict[str, Any]) -> None:
        """Start a worker."""
        self.rows, self.replaced = rows, 0
        self._settings = world, rows, options
        self._snapshot: Any = None
        self._calls: list[Call] = []
        self._actor = self._start()

    def require_world(self, config: WorldConfig) -> None:
        """Check that the worker's machine has the same world as this one.

        Raises:
            ValueError: if it has another one under this name, or none.
        """
        if self._finish(self._actor.world.remote()) != config.to_json():
            raise ValueError(
                f"world: {self._settings[0]!r} is another one on a worker's machine; copy it to the same place there"
            )

    def begin(self, call: Call) -> Any:
        """Send a call; what is returned goes to :meth:`finish`."""
        return self._actor.call.remote(call)

    def finish(self, sent: Any, call: Call) -> Any:
        """What came of a call, once, however many workers died meanwhile.

        Raises:
            ValueError: what the environment raised; the rows are then as they were.
            RayActorError: if worker after worker dies.
        """
        for _ in range(REPLACEMENTS):
            try:
                result = self._finish(sent)
                break
            except RayActorError:
                self._replace()
                sent = self.begin(call)
        else:
            result = self._finish(sent)
        self._calls.append(call)
        return result

    def undo(self) -> None:
        """Take the last call back."""
        self._calls.pop()
        self._rebuild()

    def keep(self) -> None:
        """Take a snapshot, if the journal has become long."""
        if len(self._calls) < SNAPSHOT_EVERY:
            return
        call: Call = ("snapshot", (), {})
        self._snapshot = self.finish(self.begin(call), call)
        self._calls = []

    def close(self) -> None:
        """End the worker."""
        # At the end of a program the cluster may be gone before its environments.
        if ray.is_initialized():
            ray.kill(self._actor)

    def _start(self) -> Any:
        return ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(Worker).remote(*self._settings)

    def _replace(self) -> None:
        self.replaced += 1
        self._actor = self._start()
        self._rebuild()

    def _rebuild(self) -> None:
        # A worker that dies meanwhile is found dead by the next call, and replaced then.
        with suppress(RayActorError):
            self._finish(self._actor.rebuild.remote(self._snapshot, self._calls))

    @staticmethod
    def _finish(sent: Any) -> Any:
        try:
            return ray.get(sent)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
