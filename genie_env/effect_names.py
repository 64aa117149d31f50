"""Names and arrows for latent actions, from what each of them does to the picture.

A prototype says what a code does: ``(right, down, added)``, by how many pixels of a frame it moves what it moves, and
by what share it makes it more (negative: less), both against the mean of all codes. Knows no models and no windows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

Prototype = tuple[float, float, float]

STILL = 0.35
"""A code that moves less than this share of what the most moving one does counts as standing still."""
LEAST_MOVE = 0.25
"""Pixels below which nothing counts as moved."""
LEAST_ADDED = 0.15
"""Share below which nothing counts as added or taken away."""
DIRECTIONS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")
STILL_SIGN = "•"
ARROWS = {**dict(zip(DIRECTIONS, "→↘↓↙←↖↑↗", strict=True)), "still": STILL_SIGN, "appear": "+", "vanish": "-"}
"""A sign for each name; a name with a number has the sign of the name without."""


class ActionEffect(NamedTuple):
    """What a latent action does, for people."""

    keys: str
    """Keys that play it, as one reads them."""
    name: str
    sign: str
    """An arrow, or another sign of one character."""
    right: float
    """Where it moves things, as a share of what the farthest moving action does; 0 where it moves nothing."""
    down: float


def effect_names(prototypes: Sequence[Prototype]) -> tuple[str, ...]:
    """A short name for each code: a direction, ``still``, ``appear`` or ``vanish``; equal ones are numbered.

    Codes of which nothing is known, because no prototype moves or adds anything, are called ``effect 0`` and so on.
    """
    farthest = max((math.hypot(right, down) for right, down, _ in prototypes), default=0.0)
    names = [_name(prototype, farthest) for prototype in prototypes]
    if set(names) <= {"still"}:
        return tuple(f"effect {index}" for index in range(len(names)))
    times, seen = Counter(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if times[name] == 1 else f"{name} {seen[name]}")
    return tuple(unique)


def effect_arrow(name: str) -> str:
    """One sign for a name that :func:`effect_names` gave: an arrow, ``•``, ``+``, ``-``, or ``?`` for anything else."""
    return ARROWS.get(name.split(" ")[0], "?")


def effect_vectors(prototypes: Sequence[Prototype]) -> tuple[tuple[float, float], ...]:
    """For each code where it moves things, (right, down), as a share of the farthest move; (0, 0) for the others."""
    farthest = max((math.hypot(right, down) for right, down, _ in prototypes), default=0.0)
    return tuple(
        (right / farthest, down / farthest) if name.split(" ")[0] in DIRECTIONS else (0.0, 0.0)
        for (right, down, _), name in zip(prototypes, effect_names(prototypes), strict=True)
    )


def still_code(prototypes: Sequence[Prototype]) -> int:
    """The code that moves and adds least; the first where nothing is known."""
    sizes = [math.hypot(*prototype) for prototype in prototypes]
    return sizes.index(min(sizes)) if sizes else 0


def _name(prototype: Prototype, farthest: float) -> str:
    right, down, added = prototype
    distance = math.hypot(right, down)
    if distance >= max(LEAST_MOVE, STILL * farthest):
        return DIRECTIONS[round(math.atan2(down, right) / (math.pi / 4)) % 8]
    if abs(added) >= LEAST_ADDED:
        return "appear" if added > 0 else "vanish"
    return "still"
