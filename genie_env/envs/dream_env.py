"""What the single and the vector environment share: settings, the names of actions, and a spec that is JSON-plain.

Knows Gymnasium's wrappers as far as they hide settings; knows nothing of stepping, autoreset or windows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from genie_env.bundle import pin_world, read_config
from genie_env.config import WorldConfig
from genie_env.envs.action_names import action_meanings
from genie_env.envs.dream_batch import DreamBatch
from genie_env.envs.options import EnvOptions, ResolvedOptions, plain

if TYPE_CHECKING:
    from genie_env.world import World

SETTINGS = ("temperature", "action_diversity", "show_hud")
"""Attributes of environments that may be set at any time."""


class MissingWorldError(gym.error.MissingArgument, ValueError):
    """An environment was made without a world."""


class DreamEnv:
    """Base of both environments."""

    config: WorldConfig
    """Of the world."""
    options: ResolvedOptions
    _dreams: DreamBatch
    _spec: EnvSpec | None = None
    _sealed = False

    def _open(self, world: str | Path | None, num_rows: int, options: dict[str, Any]) -> None:
        """Check the options against the world's configuration; weights are loaded at the first reset."""
        if world is None:
            raise MissingWorldError(
                'world: expected a bundled name or a folder, as in gym.make("Genie/World-v0", world="worlds/my_game")'
            )
        # Copies of the environment, and processes it is sent to, open the same commit of a world on the Hub.
        world = pin_world(world)
        self.config = read_config(world)
        self.options = EnvOptions(**options).resolved(self.config)
        self._dreams = DreamBatch(str(world), self.config, self.options, num_rows)

    @property
    def world(self) -> World:
        """The opened world."""
        return self._dreams.world

    @property
    def temperature(self) -> float:
        """Sampling temperature (of the first row); setting it sets it now and for later resets."""
        return self._dreams.temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._dreams.temperature = value

    @property
    def action_diversity(self) -> float:
        """Probability that an action is replaced (of the first row); set like ``temperature``."""
        return self._dreams.action_diversity

    @action_diversity.setter
    def action_diversity(self, value: float) -> None:
        self._dreams.action_diversity = value

    def get_action_meanings(self) -> list[str]:
        """Names of the actions."""
        return action_meanings(self.config, self.options.action_type)

    @property
    def spec(self) -> EnvSpec | None:
        """How Gymnasium made this environment, JSON-plain whatever types the options had."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        if value is not None:
            value.kwargs = plain(value.kwargs)
        self._spec = value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            AttributeError: if there is none of this name: a mistyped setting must not be lost.
        """
        if self._sealed and name not in vars(self) and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        super().__setattr__(name, value)

    def _refuse_hidden_settings(self) -> None:
        """Raise where one of Gymnasium's wrappers keeps a setting to itself.

        Wrappers take ``env.temperature = 0.0`` as an attribute of their own, which nothing reads. The environment does
        not know what it is wrapped in, but who calls it.

        Raises:
            AttributeError: naming wrapper and remedy.
        """
        frame = sys._getframe(2)
        while frame is not None:
            caller = frame.f_locals.get("self")
            inside = frame.f_globals.get("__name__", "").startswith("gymnasium.")
            if not inside and not isinstance(caller, (gym.Env, gym.vector.VectorEnv)):
                return
            # Wrappers of other packages may well have a temperature of their own.
            for name in SETTINGS if type(caller).__module__.startswith("gymnasium.") else ():
                if name in vars(caller):
                    raise AttributeError(
                        f"{name} was set on {type(caller).__name__}, which does not pass it on: use "
                        f"env.unwrapped.{name} = … or env.set_wrapper_attr({name!r}, …) (with several environments "
                        f"in one, envs.set_attr({name!r}, …))"
                    )
            frame = frame.f_back


def whole_fps(config: WorldConfig) -> int:
    """The source game's frames per second, as a whole number: ``gymnasium.utils.play`` takes no other."""
    return max(1, round(config.source.fps))
