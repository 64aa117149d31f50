"""What a game's actions are called, so that a person finds its keys: by the game itself, or by its documentation.

Owns the names of games that do not tell them. Games with names of their own (Atari) keep those.
"""

from __future__ import annotations

import enum
from typing import Any

import gymnasium as gym

DOCUMENTED: dict[str, tuple[str, ...]] = {
    "Acrobot": ("LEFT", "NOOP", "RIGHT"),
    "Blackjack": ("STICK", "HIT"),
    "CartPole": ("LEFT", "RIGHT"),
    "CliffWalking": ("UP", "RIGHT", "DOWN", "LEFT"),
    "CliffWalkingSlippery": ("UP", "RIGHT", "DOWN", "LEFT"),
    "FrozenLake": ("LEFT", "DOWN", "RIGHT", "UP"),
    "FrozenLake8x8": ("LEFT", "DOWN", "RIGHT", "UP"),
    "LunarLander": ("NOOP", "LEFT", "UP", "RIGHT"),
    "MountainCar": ("LEFT", "NOOP", "RIGHT"),
    "Taxi": ("DOWN", "UP", "RIGHT", "LEFT", "PICKUP", "DROPOFF"),
}
"""Names by id without version, for Gymnasium's own games, as its documentation describes the actions. Acrobot's are the
directions of its torque, LunarLander's the engines."""
GYMNASIUM = "gymnasium.envs."
"""Beginning of where Gymnasium's own games come from."""
MINATAR = {"n": "NOOP", "l": "LEFT", "u": "UP", "r": "RIGHT", "d": "DOWN", "f": "FIRE"}
"""Letters of MinAtar's actions (Young and Tian 2019)."""


def own_action_names(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    """Names of the actions of a game with discrete ones, in their order; empty where none are known.

    They come from ``get_action_meanings()``, from an enumeration ``actions`` (MiniGrid), from MinAtar's letters, or
    from :data:`DOCUMENTED`.
    """
    game = env.unwrapped
    tell: Any = getattr(game, "get_action_meanings", None)
    if tell is not None:
        return tuple(tell())
    numbered = getattr(game, "actions", None)
    if isinstance(numbered, enum.EnumMeta):
        return tuple(name.upper() for name in numbered.__members__)
    letters = getattr(getattr(getattr(game, "game", None), "env", None), "action_map", None)
    if isinstance(letters, list) and isinstance(chosen := getattr(game, "action_set", None), list):
        return tuple(MINATAR.get(letters[index], f"ACTION_{index}") for index in chosen if 0 <= index < len(letters))
    spec = env.spec
    if spec is not None and spec.namespace is None and str(spec.entry_point).startswith(GYMNASIUM):
        return DOCUMENTED.get(spec.name, ())
    return ()
