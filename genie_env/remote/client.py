"""Environments whose dreams are on another machine: ``gym.make("Genie/Remote-v0", url="ws://127.0.0.1:8765")``.

Owns spaces and the checks of what a server sends; knows nothing of worlds. Imports no torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from genie_env.envs.options import check_whole, plain
from genie_env.remote.connection import Connection, RemoteError
from genie_env.remote.wire import VERSION, quoted

LARGEST_OBSERVATION = 2**24
"""Numbers in one observation."""


class Description(NamedTuple):
    """What a server says of its world."""

    world: str
    fps: int
    actions: list[str]
    observation_space: gym.spaces.Box


class _Remote:
    """What one dream and rows of them on a server have in common: a connection, and what came over it."""

    _connection: Connection
    description: Description
    observation_space: gym.Space

    def get_action_meanings(self) -> list[str]:
        """Names of the actions."""
        return list(self.description.actions)

    def _checked(self, obs: Any) -> np.ndarray:
        if not self.observation_space.contains(obs):
            raise _nonsense(self._connection, f"an observation of {self.observation_space}", obs)
        return obs

    def _disconnect(self) -> None:
        # A connection that was refused is none.
        if "_connection" in vars(self):
            self._connection.close()


class RemoteEnv(_Remote, gym.Env[np.ndarray, np.int64]):
    """A dream on a server that ``genie-env serve`` started.

    ## Description
    Spaces, rewards, information and options are those of :class:`~genie_env.envs.env.GenieEnv`, and so is every frame:
    the same seed and actions give the same dream to the byte. Each environment has a connection and a dream of its own.

    ## Arguments
    ``url``, as the server prints it; ``token_file``, a file that holds the server's token; options that a client
    decides: ``temperature``, ``top_p``, ``decode_steps``, ``action_diversity``, ``diversity_window``, ``action_type``,
    ``obs_type``, ``members``, ``max_uncertainty``, ``uncertainty_penalty``. World, runtime and device are the server's.

    ``reset(options=…)`` takes ``frames``, ``start``, ``temperature`` and ``action_diversity``.
    ``gym.make_vec("Genie/Remote-v0", num_envs=8, url=…)`` makes a :class:`RemoteVectorEnv`. A snapshot, a copy or a
    pickle cannot be made: the dream is not here.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self, url: str, *, token_file: str | None = None, render_mode: str | None = None, **options: Any
    ) -> None:
        """Connect to a server, which makes an environment.

        Args:
            url: of the server, ``ws://host:port``.
            token_file: file with its token.
            render_mode: None or ``"rgb_array"``.
            options: of the environment.

        Raises:
            RemoteError: if the server cannot be reached.
            ValueError: if the server or this environment refuses an option.
        """
        _check_render_mode(render_mode)
        self.render_mode = render_mode
        self._connection = Connection(url, token_file)
        self.description = _open(self._connection, None, options)
        self.metadata = {**type(self).metadata, "render_fps": self.description.fps}
        self.observation_space = self.description.observation_space
        self.action_space: gym.spaces.Discrete = gym.spaces.Discrete(len(self.description.actions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a new dream; as :meth:`genie_env.envs.env.GenieEnv.reset`.

        Raises:
            RemoteError: if the connection has ended.
            ValueError: if the server refuses; the dream before goes on.
        """
        obs, info = _parts(self._connection, self._connection.ask("reset", seed=plain(seed), options=options), 2)
        # After the answer: a refused reset must not leave the new seed behind.
        super().reset(seed=seed)
        return self._checked(obs), _dict(self._connection, info)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Dream one frame further.

        Raises:
            RemoteError: if the connection has ended.
            ValueError: if ``action`` is not in the action space.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"action: expected a member of {self.action_space}, got {action!r}")
        answer = self._connection.ask("step", action=int(action))
        obs, reward, terminated, truncated, info = _parts(self._connection, answer, 5)
        if type(reward) is not float or type(terminated) is not bool or type(truncated) is not bool:
            raise _nonsense(self._connection, "reward, end and cut", [reward, terminated, truncated])
        return self._checked(obs), reward, terminated, truncated, _dict(self._connection, info)

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 [H, W, 3]."""
        if self.render_mode is None:
            return None
        return _frame(self._connection, self._connection.ask("render"))

    def close(self) -> None:
        """End the dream and the connection. May be called again."""
        self._disconnect()


class RemoteVectorEnv(_Remote, gym.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Rows of dreams on a server: one message a step for all of them, so that a slow network costs once.

    As :class:`~genie_env.envs.vector_env.GenieVectorEnv`, with the options of :class:`RemoteEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        url: str,
        num_envs: int = 1,
        *,
        token_file: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Connect to a server, which makes the rows; arguments as in the other environments.

        Raises:
            RemoteError: if the server cannot be reached, or has not so many rows free.
            ValueError: if the server or this environment refuses an option.
        """
        _check_render_mode(render_mode)
        self.num_envs, self.render_mode = check_whole("num_envs", num_envs), render_mode
        mode = plain(autoreset_mode)
        self._connection = Connection(url, token_file)
        limits = {"autoreset_mode": mode, "max_episode_steps": max_episode_steps}
        self.description = _open(self._connection, self.num_envs, {**options, **limits})
        own = {"render_fps": self.description.fps, "autoreset_mode": AutoresetMode(mode)}
        self.metadata = {**type(self).metadata, **own}
        self.single_observation_space = self.description.observation_space
        self.single_action_space = gym.spaces.Discrete(len(self.description.actions))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Restart all rows, or those of ``options["reset_mask"]``.

        Raises:
            RemoteError: if the connection has ended.
            ValueError: if the server refuses; no row changes then.
        """
        obs, infos = _parts(self._connection, self._connection.ask("reset", seed=plain(seed), options=options), 2)
        return self._checked(obs), _dict(self._connection, infos)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Dream one frame further in every row.

        Raises:
            RemoteError: if the connection has ended.
            ValueError: if ``actions`` are not B members of the action space.
        """
        answer = self._connection.ask("step", action=np.asarray(actions))
        obs, rewards, terminated, truncated, infos = _parts(self._connection, answer, 5)
        columns = (rewards, np.float64), (terminated, np.bool_), (truncated, np.bool_)
        if not all(isinstance(c, np.ndarray) and c.shape == (self.num_envs,) and c.dtype == t for c, t in columns):
            raise _nonsense(self._connection, f"rewards, ends and cuts of {self.num_envs} rows", answer[1:4])
        return self._checked(obs), rewards, terminated, truncated, _dict(self._connection, infos)

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The present frame of every row, uint8 [H, W, 3] each."""
        if self.render_mode is None:
            return None
        frames = _parts(self._connection, self._connection.ask("render"), self.num_envs)
        return tuple(_frame(self._connection, frame) for frame in frames)

    def close_extras(self, **kwargs: Any) -> None:
        """End the dreams and the connection."""
        self._disconnect()


def _open(connection: Connection, rows: int | None, options: dict[str, Any]) -> Description:
    try:
        return _read_description(connection, connection.ask("open", version=VERSION, rows=rows, options=plain(options)))
    except BaseException:
        connection.close()
        raise


def _read_description(connection: Connection, about: Any) -> Description:
    try:
        seen = about["observation"]
        kind, shape = seen["dtype"], tuple(seen["shape"])
        if (
            kind not in ("uint8", "int64")
            or not 1 <= len(shape) <= 4
            or not all(type(n) is int and n > 0 for n in shape)
        ):
            raise ValueError
        if int(np.prod(shape, dtype=np.float64)) > LARGEST_OBSERVATION or not 0 < len(about["actions"]) < 10_000:
            raise ValueError
        space = gym.spaces.Box(int(seen["low"]), int(seen["high"]), shape, np.dtype(kind).type)
        return Description(str(about["world"]), max(1, int(about["fps"])), [str(a) for a in about["actions"]], space)
    except (ValueError, TypeError, KeyError, OverflowError, AssertionError):
        raise _nonsense(connection, "a description of the world", about) from None


def _check_render_mode(render_mode: str | None) -> None:
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f"render_mode: a remote world knows None and 'rgb_array', got {render_mode!r}")


def _parts(connection: Connection, answer: Any, count: int) -> list[Any]:
    if not isinstance(answer, list) or len(answer) != count:
        raise _nonsense(connection, f"{count} parts", answer)
    return answer


def _dict(connection: Connection, info: Any) -> dict[str, Any]:
    if not isinstance(info, dict):
        raise _nonsense(connection, "a map of information", info)
    return info


def _frame(connection: Connection, frame: Any) -> np.ndarray:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise _nonsense(connection, "a frame uint8 [H, W, 3]", frame)
    return frame


def _nonsense(connection: Connection, expected: str, got: Any) -> RemoteError:
    connection.close()
    return RemoteError(f"{connection.url}: expected {expected}, got {quoted(got)}; the connection is closed")
