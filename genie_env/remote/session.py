"""One client's dreams on the server: requests in, answers out. Knows nothing of sockets, tokens and time."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import gymnasium as gym

from genie_env.envs.env import GenieEnv
from genie_env.envs.options import check_whole
from genie_env.envs.vector_env import GenieVectorEnv
from genie_env.remote.wire import VERSION, ProtocolError, quoted

CLIENT_OPTIONS = frozenset(
    {
        "temperature",
        "top_p",
        "decode_steps",
        "action_diversity",
        "diversity_window",
        "action_type",
        "obs_type",
        "members",
        "max_uncertainty",
        "uncertainty_penalty",
    }
)
"""Options of the environment that a client decides; world, runtime and device are the server's."""
VECTOR_OPTIONS = frozenset({"autoreset_mode", "max_episode_steps"})
_TORCH_TURN = threading.Lock()
"""Torch's number of threads belongs to the process, so that sessions in torch take turns; onnxruntime's is its own."""
RESET_OPTIONS = frozenset({"frames", "start", "temperature", "action_diversity", "reset_mask"})


class RefusedError(ValueError):
    """A request cannot be served; the dreams are as they were."""


class Rows:
    """Rows of dreams that a server has in all, shared by the threads of its sessions."""

    def __init__(self, total: int) -> None:
        self.total, self._used, self._lock = check_whole("rows", total), 0, threading.Lock()

    def take(self, count: int) -> None:
        """Reserve rows.

        Raises:
            RefusedError: if so many are not free.
        """
        with self._lock:
            if self._used + count > self.total:
                free = self.total - self._used
                raise RefusedError(f"rows: {count} wanted, {free} of the server's {self.total} are free; try later")
            self._used += count

    def give_back(self, count: int) -> None:
        """Free rows."""
        with self._lock:
            self._used -= count


class Session:
    """The dreams of one connection; their world is opened at the first request."""

    def __init__(self, world: str, rows: Rows, options: dict[str, Any] | None = None) -> None:
        """Begin without dreams.

        Args:
            world: bundled name or folder.
            rows: that all sessions share.
            options: of the environment, decided by the server, such as ``runtime``.
        """
        self._world, self._rows, self._options = world, rows, options or {}
        self._env: GenieEnv | GenieVectorEnv | None = None
        self._taken = 0

    def answer(self, op: str, fields: dict[str, Any]) -> Any:
        """Do what a request of :func:`genie_env.remote.wire.read_request` asks for.

        Raises:
            ProtocolError: if it comes at the wrong time; the connection must end.
            RefusedError: if the environment refuses it.
        """
        if (op == "open") != (self._env is None):
            raise ProtocolError("expected 'open' as the first request, and only there")
        in_torch = self._env is not None and self._env.options.runtime == "torch"
        try:
            with _TORCH_TURN if in_torch else nullcontext():
                return getattr(self, f"_{op}")(**fields)
        except ProtocolError:
            raise
        except (ValueError, ImportError, OSError, gym.error.Error) as error:
            raise RefusedError(str(error)) from error

    def close(self) -> None:
        """End the dreams and free their rows."""
        self._rows.give_back(self._taken)
        self._taken, self._env = 0, None

    def _open(self, version: Any, rows: Any, options: Any) -> dict[str, Any]:
        if version != VERSION:
            raise ProtocolError(f"version: expected {VERSION}, got {quoted(version)}")
        known = CLIENT_OPTIONS if rows is None else CLIENT_OPTIONS | VECTOR_OPTIONS
        wanted = _named("options", options, known)
        count = 1 if rows is None else check_whole("rows", rows)
        self._rows.take(count)
        self._taken = count
        if rows is None:
            self._env = GenieEnv(self._world, render_mode="rgb_array", **self._options, **wanted)
        else:
            self._env = GenieVectorEnv(self._world, count, render_mode="rgb_array", **self._options, **wanted)
        return _description(self._env)

    def _reset(self, seed: Any, options: Any) -> Any:
        assert self._env is not None
        if isinstance(self._env, GenieEnv) and not (seed is None or type(seed) is int):
            raise RefusedError(f"seed: expected an integer >= 0 or None, got {quoted(seed)}")
        return self._env.reset(seed=seed, options=_named("reset options", options, RESET_OPTIONS))

    def _step(self, action: Any) -> Any:
        assert self._env is not None
        return self._env.step(action)

    def _render(self) -> Any:
        assert self._env is not None
        return self._env.render()


def _named(what: str, options: Any, known: frozenset[str]) -> dict[str, Any]:
    """Options by name, or an error for an unknown one."""
    if options is None:
        return {}
    if not isinstance(options, dict) or not set(options) <= known:
        got = sorted(set(options) - known) if isinstance(options, dict) else options
        raise RefusedError(f"{what}: a remote world takes some of {sorted(known)}, got {quoted(got)}")
    return dict(options)


def _description(env: GenieEnv | GenieVectorEnv) -> dict[str, Any]:
    """What a client must know to make an environment of its own."""
    single = env.observation_space if isinstance(env, GenieEnv) else env.single_observation_space
    assert isinstance(single, gym.spaces.Box)
    return {
        "version": VERSION,
        "world": env.config.name,
        "fps": env.metadata["render_fps"],
        "actions": env.get_action_meanings(),
        "observation": {
            "dtype": single.dtype.name,
            "shape": list(single.shape),
            "low": int(single.low.min()),
            "high": int(single.high.max()),
        },
    }
