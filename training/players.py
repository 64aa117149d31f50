"""Players that make recordings varied: random, sticky-random, and one that follows the ball with noise.

A world can only dream what it has seen, so the mixture has long rallies, misses on both sides, and every action in
every situation.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from training.games import Game


class Player(Protocol):
    """Chooses real actions. Sees the ground truth of the present frame, if the game has any."""

    def act(self, truth: dict[str, float]) -> int:
        """Return the next real action."""
        ...


class RandomPlayer:
    """Draws every action uniformly."""

    def __init__(self, num_actions: int, rng: np.random.Generator) -> None:
        self._num_actions, self._rng = num_actions, rng

    def act(self, truth: dict[str, float]) -> int:
        """Return a uniform action."""
        return int(self._rng.integers(self._num_actions))


class StickyRandomPlayer:
    """Repeats a random action for a while; the mean length of the repeats is drawn anew each episode."""

    def __init__(self, num_actions: int, rng: np.random.Generator) -> None:
        self._num_actions, self._rng = num_actions, rng
        self._switch = 1.0 / rng.uniform(2.0, 10.0)
        self._action = 0

    def act(self, truth: dict[str, float]) -> int:
        """Return the held action, or now and then a new one."""
        if self._rng.random() < self._switch:
            self._action = int(self._rng.integers(self._num_actions))
        return self._action


class FollowPlayer:
    """Follows the ball vertically, aims with a changing part of the paddle, and errs at its own rate.

    The aim is drawn anew whenever the ball is away, so that balls leave at all angles and both sides score.
    """

    def __init__(self, game: Game, rng: np.random.Generator) -> None:
        assert game.follow is not None
        self._stay, self._up, self._down = game.follow
        self._rng = rng
        self._mistakes = float(rng.choice([0.02, 0.1, 0.3]))
        self._reach = float(rng.choice([2.5, 4.0, 6.0]))
        self._aim, self._previous_x = 0.0, 0.0

    def act(self, truth: dict[str, float]) -> int:
        """Move towards where the ball is, up to the present aim."""
        if self._rng.random() < self._mistakes:
            return int(self._rng.choice([self._stay, self._up, self._down]))
        ball_x, ball_y, own_y = truth["ball_x"], truth["ball_y"], truth["own_y"]
        if not np.isfinite(ball_y):
            return self._stay
        leaving, self._previous_x = ball_x < self._previous_x, ball_x
        if leaving and self._rng.random() < 0.1:
            self._aim = float(self._rng.uniform(-self._reach, self._reach))
        offset = ball_y + self._aim - own_y
        if abs(offset) < 1.5:
            return self._stay
        return self._down if offset > 0 else self._up


MIXTURE = {"random": 0.15, "sticky": 0.25, "follow": 0.6}


def make_player(game: Game, num_actions: int, rng: np.random.Generator) -> tuple[str, Player]:
    """Draw one player of the mixture; games without ground truth get the random kinds only."""
    names = [name for name in MIXTURE if name != "follow" or game.follow is not None]
    weights = np.array([MIXTURE[name] for name in names])
    name = str(rng.choice(names, p=weights / weights.sum()))
    if name == "follow":
        return name, FollowPlayer(game, rng)
    return name, (RandomPlayer if name == "random" else StickyRandomPlayer)(num_actions, rng)
