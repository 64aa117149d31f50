"""Any action space as a short list of actions: what a world with discrete actions sees of a game's controls.

Owns the rules by which a space becomes a list. Knows nothing of games or worlds.

====================  ====================================================================================
space                 actions
====================  ====================================================================================
``Discrete``          its members, whatever number they start at
``MultiDiscrete``     every combination where there are at most 32, else one component at a time away from 0
``MultiBinary``       nothing, every button, and every pair of buttons where that makes at most 32 actions
``Box`` (bounded)     at rest, and every component at its lowest and highest; of one or two components every
                      combination of lowest, rest and highest
====================  ====================================================================================

A component of a ``Box`` rests at 0 where its bounds allow that, else in their middle.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

MOST_COMBINED = 32
"""Most actions that a list of all combinations may have."""
MOST = 64
"""Most actions of any list."""


class DiscreteActions(NamedTuple):
    """A game's controls as a list: action i of the world is ``values[i]`` of the game."""

    values: tuple[Any, ...]
    names: tuple[str, ...]


def discrete_actions(space: gym.Space[Any], own_names: Iterable[str] = ()) -> DiscreteActions:
    """List the actions of ``space`` by the table above.

    Args:
        space: the game's action space.
        own_names: the game's names of its actions; used where they are as many as the actions.

    Raises:
        ValueError: if the space is of another kind, unbounded, or would need more than :data:`MOST` actions.
    """
    if isinstance(space, gym.spaces.Discrete):
        numbers = range(int(space.start), int(space.start) + _few(int(space.n), space))
        found = [(number, f"ACTION_{index}") for index, number in enumerate(numbers)]
    elif isinstance(space, gym.spaces.MultiBinary):
        found = _buttons(space)
    elif isinstance(space, gym.spaces.MultiDiscrete):
        found = _components(space)
    elif isinstance(space, gym.spaces.Box):
        found = _continuous(space)
    else:
        raise ValueError(
            f"actions: expected a Discrete, MultiDiscrete, MultiBinary or bounded Box space, got {space}; wrap the "
            "environment so that it takes one of these"
        )
    names = tuple(own_names)
    if len(names) != len(found) or len(set(names)) != len(names):
        names = tuple(name for _, name in found)
    return DiscreteActions(tuple(value for value, _ in found), names)


def _few(count: int, space: gym.Space[Any]) -> int:
    if count > MOST:
        raise ValueError(f"actions: {space} would make {count} actions; a world takes at most {MOST}")
    return count


def _buttons(space: gym.spaces.MultiBinary) -> list[tuple[np.ndarray, str]]:
    count = int(np.prod(space.shape))
    pairs = list(itertools.combinations(range(count), 2))
    chords: list[tuple[int, ...]] = [(), *((button,) for button in range(_few(count, space)))]
    if len(chords) + len(pairs) <= MOST_COMBINED:
        chords += pairs
    _few(len(chords), space)
    found = []
    for chord in chords:
        value = np.zeros(count, dtype=space.dtype)
        value[list(chord)] = 1
        found.append((value.reshape(space.shape), "+".join(f"BUTTON_{b}" for b in chord) or "NOOP"))
    return found


def _components(space: gym.spaces.MultiDiscrete) -> list[tuple[np.ndarray, str]]:
    sizes, starts = space.nvec.flatten(), np.asarray(space.start).flatten()
    # Python integers: a product of hostile sizes must not wrap around.
    total = 1
    for size in sizes:
        total *= int(size)
    if total <= MOST_COMBINED:
        combinations = list(itertools.product(*(range(int(size)) for size in sizes)))
    else:
        _few(1 + sum(int(size) - 1 for size in sizes), space)
        still = (0,) * len(sizes)
        moved = [(*still[:i], level, *still[i + 1 :]) for i, size in enumerate(sizes) for level in range(1, int(size))]
        combinations = [still, *moved]
    return [
        ((starts + np.array(levels)).astype(space.dtype).reshape(space.shape), "/".join(map(str, levels)))
        for levels in combinations
    ]


def _continuous(space: gym.spaces.Box) -> list[tuple[np.ndarray, str]]:
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ValueError(f"actions: expected bounds on every component, got {space}")
    low, high = space.low.flatten().astype(np.float64), space.high.flatten().astype(np.float64)
    rest = np.where((low <= 0) & (high >= 0), 0.0, (low + high) / 2)
    count = len(low)
    _few(2 * count + 1, space)
    if count <= 2:
        signs = sorted(itertools.product((0, -1, 1), repeat=count), key=lambda s: sum(map(abs, s)))
    else:
        signs = [(0,) * count]
        signs += [tuple(sign if j == i else 0 for j in range(count)) for i in range(count) for sign in (-1, 1)]
    found, seen = [], set()
    for levels in signs:
        value = np.where(np.array(levels) < 0, low, np.where(np.array(levels) > 0, high, rest))
        value = value.astype(space.dtype)
        # A component that rests at one of its bounds gives that action once.
        if value.tobytes() not in seen:
            seen.add(value.tobytes())
            moved = [f"{'-+'[level > 0]}{index}" for index, level in enumerate(levels) if level]
            found.append((value.reshape(space.shape), "".join(moved) or "REST"))
    return found
