"""Scripted and random players used for recording and as baselines: random, sticky, biased, diverse, ball-following.

Each has a generator of its own. They act on places by name (``ball_y``); whether those come from a console's memory or
from a picture is the caller's business, and the random players do not look at all.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np


class Follow(NamedTuple):
    """Real actions of a player that follows the ball; its paddle is at the right or at the bottom of the picture."""

    stay: int
    back: int
    """Moves the paddle up, or to the left."""
    forth: int
    """Moves it down, or to the right."""
    along: Literal["x", "y"] = "y"
    """The coordinate in which the paddle moves."""
    serve: int | None = None
    """Brings a new ball where that takes an action."""


class Player(Protocol):
    """Chooses actions."""

    def reset(self) -> None:
        """Forget the episode before."""
        ...

    def act(self, seen: Any, /) -> int:
        """Return the next action."""
        ...


class RandomPlayer:
    """Draws every action uniformly."""

    def __init__(self, num_actions: int, rng: np.random.Generator) -> None:
        self._num_actions, self._rng = num_actions, rng

    def reset(self) -> None:
        """Nothing is remembered."""

    def act(self, seen: Any) -> int:
        """Return a uniform action."""
        return int(self._rng.integers(self._num_actions))


class StickyRandomPlayer:
    """Repeats a random action for a while; the mean length of the repeats is drawn for each episode."""

    def __init__(self, num_actions: int, rng: np.random.Generator) -> None:
        self._num_actions, self._rng = num_actions, rng
        self.reset()

    def reset(self) -> None:
        """Draw a new length of repeats."""
        self._switch = 1.0 / self._rng.uniform(2.0, 10.0)
        self._action = 0

    def act(self, seen: Any) -> int:
        """Return the held action, or now and then a new one."""
        if self._rng.random() < self._switch:
            self._action = int(self._rng.integers(self._num_actions))
        return self._action


class BiasedPlayer:
    """Prefers some actions for a while: preferences and the length of holds are drawn once every ``stretch`` steps.

    Uniform players hover around where they begin, since their actions cancel out. One that prefers an action for a
    hundred steps arrives where only long sequences of it lead: in Freeway a sticky random player is in the upper half
    of the picture in 5 % of the frames, this one in 13 %.
    """

    def __init__(
        self, num_actions: int, rng: np.random.Generator, stretch: int = 100, longest_hold: float = 40
    ) -> None:
        """Start without a past.

        Args:
            num_actions: size of the action space.
            rng: the player's own generator.
            stretch: steps between draws of new preferences.
            longest_hold: longest mean length of a hold, in steps; the shortest is 2.

        Raises:
            ValueError: if ``stretch`` is no size, or ``longest_hold`` is below 2.
        """
        if stretch < 1 or longest_hold < 2:
            raise ValueError(f"expected stretch >= 1 and longest_hold >= 2, got {stretch} and {longest_hold}")
        self._num_actions, self._rng, self._stretch, self._longest = num_actions, rng, stretch, longest_hold
        self.reset()

    def reset(self) -> None:
        """Draw new preferences."""
        self._step, self._action = 0, 0

    def act(self, seen: Any) -> int:
        """Return the held action, or now and then another one by the present preferences."""
        if self._step % self._stretch == 0:
            # A concentration below one makes most draws prefer one or two actions clearly.
            self._preference_A = self._rng.dirichlet(np.full(self._num_actions, 0.5))
            self._switch = 1.0 / np.exp(self._rng.uniform(np.log(2.0), np.log(self._longest)))
        if self._step == 0 or self._rng.random() < self._switch:
            self._action = int(self._rng.choice(self._num_actions, p=self._preference_A))
        self._step += 1
        return self._action


class DiversePlayer:
    """Draws uniformly, and with probability ``weight`` one of the actions used least among the last ``window``."""

    def __init__(self, num_actions: int, rng: np.random.Generator, weight: float = 0.1, window: int = 5) -> None:
        """Start without a past.

        Raises:
            ValueError: if ``weight`` is no probability or ``window`` no size.
        """
        if not 0 <= weight <= 1 or window < 1:
            raise ValueError(f"expected a weight from 0 to 1 and a window >= 1, got {weight} and {window}")
        self._num_actions, self._rng, self._weight = num_actions, rng, weight
        self._recent: deque[int] = deque(maxlen=window)

    def reset(self) -> None:
        """Forget the recent actions."""
        self._recent.clear()

    def act(self, seen: Any) -> int:
        """Return the next action."""
        candidates = np.arange(self._num_actions)
        if self._rng.random() < self._weight:
            used = np.bincount(np.array(self._recent, dtype=np.int64), minlength=self._num_actions)
            candidates = np.flatnonzero(used == used.min())
        self._recent.append(int(self._rng.choice(candidates)))
        return self._recent[-1]


class FollowPlayer:
    """Follows the ball, aims with a changing part of the paddle, and errs at a rate.

    The aim is drawn again whenever the ball is away, so that balls leave at all angles and both sides score.
    """

    def __init__(self, follow: Follow, rng: np.random.Generator, mistakes: float = 0.0, reach: float = 0.0) -> None:
        """Start without a past.

        Args:
            follow: what to do to stay, to move and to serve.
            rng: the player's own generator.
            mistakes: probability of a random one of staying and moving.
            reach: how far from the ball's centre the paddle's may aim, in pixels.
        """
        self._follow, self._rng, self._mistakes, self._reach = follow, rng, mistakes, reach
        self.reset()

    def reset(self) -> None:
        """Aim with the middle."""
        self._aim, self._previous = 0.0, 0.0

    def act(self, seen: dict[str, float]) -> int:
        """Move towards where the ball is, up to the present aim.

        Args:
            seen: ``ball_x``, ``ball_y`` and the paddle's ``own_x`` or ``own_y``; NaN: not in sight.
        """
        stay, back, forth, along, serve = self._follow
        if self._rng.random() < self._mistakes:
            return int(self._rng.choice([stay, back, forth]))
        ball, across = seen[f"ball_{along}"], seen["ball_x" if along == "y" else "ball_y"]
        if not np.isfinite(ball):
            return stay if serve is None else serve
        leaving, self._previous = across < self._previous, across
        if leaving and self._rng.random() < 0.1:
            self._aim = float(self._rng.uniform(-self._reach, self._reach))
        return _towards(self._follow, ball + self._aim - seen[f"own_{along}"])


class AimPlayer:
    """Goes where the ball will arrive, and hits it with a part of the paddle drawn for every ball.

    With the edge a ball leaves fast and steep: unlike :class:`FollowPlayer` this one wins rallies. It learns where the
    walls are from the places it has seen the ball in.
    """

    def __init__(
        self, follow: Follow, rng: np.random.Generator, mistakes: float = 0.0, reach: float = 0.0, lead: float = 1.0
    ) -> None:
        """Start without a past.

        Args:
            follow: what to do to stay, to move and to serve.
            rng: the player's own generator.
            mistakes: probability of a random one of staying and moving.
            reach: how far from the ball's centre the paddle's may aim, in pixels.
            lead: how many steps the paddle runs on after it is let go.
        """
        self._follow, self._rng, self._mistakes, self._reach, self._lead = follow, rng, mistakes, reach, lead
        self._walls = (np.inf, -np.inf)
        self.reset()

    def reset(self) -> None:
        """Forget the episode before, but not the walls."""
        self._aim, self._wait, self._coming = 0.0, np.nan, False
        self._ball, self._own = (np.nan, np.nan), np.nan

    def act(self, seen: dict[str, float]) -> int:
        """Move so that the paddle comes to rest where the ball arrives, or waits while the ball is away.

        Args:
            seen: as for :class:`FollowPlayer`, with both coordinates of the paddle.
        """
        stay, back, forth, along, serve = self._follow
        across = "x" if along == "y" else "y"
        ball, own, line = (seen[f"ball_{along}"], seen[f"ball_{across}"]), seen[f"own_{along}"], seen[f"own_{across}"]
        speed = (ball[0] - self._ball[0], ball[1] - self._ball[1])
        own_speed = np.nan_to_num(own - self._own)
        self._ball, self._own = ball, own
        if self._rng.random() < self._mistakes:
            return int(self._rng.choice([stay, back, forth]))
        if not np.isfinite(ball[0]):
            return stay if serve is None else serve
        if not np.isfinite(speed[1]):
            return stay
        self._walls = min(self._walls[0], ball[0]), max(self._walls[1], ball[0])
        coming = speed[1] > 0 and ball[1] < line
        if coming != self._coming:
            self._aim = float(self._rng.uniform(-self._reach, self._reach))
            self._wait = float(self._rng.uniform(*self._walls) if self._rng.random() < 0.3 else ball[0])
        self._coming = coming
        target = self._bounced(ball[0] + speed[0] * (line - ball[1]) / speed[1]) + self._aim if coming else self._wait
        return _towards(self._follow, target - own - self._lead * own_speed)

    def _bounced(self, at: float) -> float:
        """Where a ball is that would be at ``at`` if there were no walls."""
        low, high = self._walls
        span = max(high - low, 1.0)
        at = (at - low) % (2 * span)
        return low + min(at, 2 * span - at)


def _towards(follow: Follow, offset: float) -> int:
    """Move a paddle that should be ``offset`` pixels further; stay where it is near enough, or not in sight (NaN)."""
    if not abs(offset) >= 1.5:
        return follow.stay
    return follow.forth if offset > 0 else follow.back
