"""The real game, seen exactly as a world sees it.

Owns the way from a Gymnasium env's picture to a frame: frame skip, crop, resize. Recording, evaluation and the
real game beside a dream all go through it, so that world and game never disagree about a pixel.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from genie_env.config import SourceConfig
from genie_env.frames import crop_resize
from genie_env.games.discrete_actions import discrete_actions
from genie_env.games.own_action_names import own_action_names

LARGEST_STATE = 4096
"""Most numbers of a game's own observation that count as its state; what has more is a picture of another kind."""


class SourceGame(gym.Wrapper[np.ndarray, Any, Any, Any]):
    """A game whose observation is the world's frame, uint8 [size, size, 3], and whose actions are numbered from 0."""

    def __init__(self, env: gym.Env[Any, Any], source: SourceConfig) -> None:
        """Wrap ``env``.

        Raises:
            ValueError: if the actions cannot be listed (see :func:`discrete_actions`) or the env offers no picture.
        """
        super().__init__(env)
        try:
            self._controls = discrete_actions(env.action_space, own_action_names(env))
        except ValueError as error:
            raise ValueError(f"{source.env_id}: {error}") from None
        self.action_space: gym.spaces.Discrete = gym.spaces.Discrete(len(self._controls.values))
        self.source = source
        self._observation_is_picture = _is_picture(env.observation_space)
        if not self._observation_is_picture and env.render_mode != "rgb_array":
            raise ValueError(
                f"{source.env_id}: shows no picture: its observation is {env.observation_space} and "
                f"its render_mode is {env.render_mode!r}; expected uint8 pictures or 'rgb_array'"
            )
        size = source.image_size
        self.observation_space = gym.spaces.Box(0, 255, (size, size, 3), np.uint8)

    @property
    def state_space(self) -> gym.spaces.Box | None:
        """Space of :meth:`state`, float32 [D]; None of a game that tells nothing but its picture."""
        space = self.env.observation_space
        if self._observation_is_picture or not space.is_np_flattenable:
            return None
        numbers = gym.spaces.flatdim(space)
        return gym.spaces.Box(-np.inf, np.inf, (numbers,), np.float32) if 0 < numbers <= LARGEST_STATE else None

    def state(self) -> np.ndarray:
        """What the game itself told last, its observation made flat: float32 [D]."""
        return np.asarray(gym.spaces.flatten(self.env.observation_space, self._observation), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start a game; the first frame is the observation."""
        info = self.begin(seed=seed, options=options)
        return self.frame(), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Play ``action`` for ``frame_skip`` steps of the game; rewards add up.

        Raises:
            ValueError: if ``action`` is no member of the action space.
        """
        reward, terminated, truncated, info = self.play(action)
        return self.frame(), reward, terminated, truncated, info

    def begin(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> dict[str, Any]:
        """As :meth:`reset`, and draw nothing: most games that are no consoles take longer to draw than to play."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        return info

    def play(self, action: Any) -> tuple[float, bool, bool, dict[str, Any]]:
        """As :meth:`step`, and draw nothing: reward, terminated, truncated, info."""
        if not self.action_space.contains(action):
            raise ValueError(f"action: expected an integer from 0 to {self.action_space.n - 1}, got {action!r}")
        control = self._controls.values[int(action)]
        total, terminated, truncated, info = 0.0, False, False, {}
        for _ in range(self.source.frame_skip):
            self._observation, reward, terminated, truncated, info = self.env.step(control)
            total += float(reward)
            if terminated or truncated:
                break
        return total, bool(terminated), bool(truncated), info

    def get_action_meanings(self) -> list[str]:
        """Names of the actions: those of the world's configuration, else the game's own."""
        return list(self.source.action_meanings or self._controls.names)

    def picture(self) -> np.ndarray:
        """The game's own picture as it is now, uint8 [H, W, 3] or [H, W], before crop and resize."""
        return np.array(self._picture)

    def frame(self) -> np.ndarray:
        """The game as it is now, as the world sees it: uint8 [size, size, 3]."""
        picture = self._observation if self._observation_is_picture else self.env.render()
        if not isinstance(picture, np.ndarray):
            raise ValueError(f"{self.source.env_id}: render() returned {type(picture).__name__}, expected a picture")
        if picture.dtype.kind == "f" and 0 <= picture.min() <= picture.max() <= 1:
            # Some games draw as plotting libraries do, with colours from 0 to 1.
            picture = (picture * 255).round().astype(np.uint8)
        self._picture = picture
        return crop_resize(picture, self.source.crop, self.source.image_size, self.source.pad)


def make_source_game(source: SourceConfig, **overrides: Any) -> SourceGame:
    """Make the real game behind a world.

    Args:
        source: which game and how its picture is cut.
        overrides: further keyword arguments of ``gym.make``.

    Raises:
        ImportError: if the game's package is not installed; the message says which extra to install.
        ValueError: if the game cannot serve as a source (see :class:`SourceGame`).
    """
    if not source.env_id:
        raise ValueError("this world names no source game (source.env_id is empty)")
    register_namespace(source.env_id)
    kwargs = {**source.env_kwargs, **overrides}
    # What Gymnasium's checker says of somebody else's game is no matter of who plays it.
    kwargs = {"disable_env_checker": True, **kwargs}
    env = gym.make(source.env_id, **kwargs)
    if not _is_picture(env.observation_space) and env.render_mode is None:
        env.close()
        modes = env.metadata.get("render_modes", [])
        if "rgb_array" not in modes:
            raise ValueError(
                f"{source.env_id}: shows no picture: its observation is {env.observation_space} "
                f"and its render modes are {modes}; expected uint8 pictures or 'rgb_array'"
            )
        env = gym.make(source.env_id, **{**kwargs, "render_mode": "rgb_array"})
    return SourceGame(env, source)


def register_namespace(env_id: str) -> None:
    """Register the ids of Atari games where ``env_id`` is one of them.

    Raises:
        ImportError: if the Atari extra is not installed.
    """
    if env_id.startswith("ALE/"):
        try:
            import ale_py
        except ImportError as error:
            raise ImportError(f"{env_id} needs the Atari extra: pip install 'genie-env[atari]'") from error
        # Without this the emulator prints a banner to stderr at every start.
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        gym.register_envs(ale_py)


def _is_picture(space: gym.Space) -> bool:
    return (
        isinstance(space, gym.spaces.Box)
        and space.dtype == np.uint8
        and (len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[2] in (1, 3)))
    )
