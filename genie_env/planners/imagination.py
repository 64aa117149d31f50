"""Dreams that go on from where a game stands, whether the game is a dream itself or the real one.

Owns one row that has seen the game so far, and the rows that are dreamed from it. Knows nothing of planners.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from genie_env.bundle import read_config
from genie_env.envs.opened_world import OpenedWorld
from genie_env.envs.options import ActionType, EnvOptions, Runtime

NO_KEY = np.zeros(1, np.int64)


class Imagined(NamedTuple):
    """What R sequences of T actions brought in their dreams."""

    rewards_RT: np.ndarray
    """float64, 0 after an episode's end."""
    alive_RT: np.ndarray
    """bool, whether the episode had not ended before the step."""

    def returns(self, discount: float) -> np.ndarray:
        """Discounted sum of the rewards from each step on, float64 [R, T]."""
        returns_RT = np.zeros_like(self.rewards_RT)
        following_R = np.zeros(len(self.rewards_RT))
        for t in reversed(range(self.rewards_RT.shape[1])):
            following_R = self.rewards_RT[:, t] + discount * following_R
            returns_RT[:, t] = following_R
        return returns_RT


Imagine = Callable[[np.ndarray], Imagined]
"""Dreams of action sequences int64 [R, T], a row each, all from the same place."""


class Imagination:
    """Follows one game by its frames' tokens and dreams on from there.

    The game's frames replace the dreamed ones as context, so an error in a dream never outlasts its plan.
    """

    def __init__(self, engine: Any, temperature: float) -> None:
        """Follow no game yet.

        Args:
            engine: runtime of a world, :class:`~genie_env.portable.engine.OnnxEngine` or
                :class:`~genie_env.envs.torch_dreams.TorchEngine`.
            temperature: of the dreams; 0 takes the most likely tokens.
        """
        self._engine, self._temperature = engine, temperature
        self._present: Any = None

    def begin(self, tokens_N: np.ndarray) -> None:
        """A game begins with these tokens."""
        no_actions = np.zeros((1, 0), np.int64)
        self._present = self._engine.start(np.asarray(tokens_N, np.int64)[None, None], no_actions, NO_KEY)

    def see(self, action: int, tokens_N: np.ndarray) -> None:
        """The game played an action, and these are its tokens now."""
        self._engine.step(self._present, np.array([action]), np.zeros(1, np.float32), np.zeros(1, np.float32))
        self._present.show(np.asarray(tokens_N, np.int64)[None])

    def imagine(self, actions_RT: np.ndarray, rng: np.random.Generator) -> Imagined:
        """Dream a sequence of actions in each row; the game itself stays where it is."""
        rows, steps = actions_RT.shape
        state = self._present.take(np.zeros(rows, np.int64), rng.integers(2**63, size=rows))
        temperature_R = np.full(rows, self._temperature, np.float32)
        no_diversity_R = np.zeros(rows, np.float32)
        rewards_RT, alive_RT = np.zeros((rows, steps)), np.zeros((rows, steps), bool)
        alive_R = np.ones(rows, bool)
        for t in range(steps):
            step = self._engine.step(state, actions_RT[:, t], temperature_R, no_diversity_R)
            rewards_RT[:, t], alive_RT[:, t] = np.where(alive_R, step.reward_B, 0.0), alive_R
            alive_R = alive_R & ~step.terminated_B
        return Imagined(rewards_RT, alive_RT)

    def snapshot(self) -> Any:
        """Where the game stands, for :meth:`restore`."""
        return self._present.clone()

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot, which stays usable."""
        self._present = snapshot.clone()


def open_imagination(
    world: str,
    rows: int,
    action_type: ActionType | None = None,
    temperature: float | None = None,
    runtime: Runtime = "auto",
) -> Imagination:
    """Follow a game that looks like a world.

    Args:
        world: bundled name, folder or ``hf://`` address.
        rows: sequences that will be dreamed at once.
        action_type: kind of the game's actions; None: real where the world has a map of them.
        temperature: of the dreams; None: the world's own.
        runtime: what steps; ``auto`` is onnx where it can.

    Raises:
        ValueError: if there is no such world, an option is not as expected, or the world gives no rewards: then no
            plan is better than another.
    """
    config = read_config(world)
    if config.outcome is None or not any(config.outcome.rewards):
        raise ValueError(f"planner: the world {config.name!r} gives no rewards, so no plan is better than another")
    options = EnvOptions(temperature=temperature, action_type=action_type, runtime=runtime).resolved(config)
    return Imagination(OpenedWorld(world, options, rows).engine, options.temperature)
