"""Play games and count: scores, points per 1,000 steps, and how certain the world was.

Works on any stable-baselines3 environment, dream or real game, and on anything that chooses a batch of actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from agents.sb3.make_envs import make_dreams, recorded_starts
from genie_env.bundle import load_world
from genie_env.games.players import Player
from genie_env.policies.spec import PolicySpec

ROWS = 16
"""Dreams that an evaluator plays at once."""
NUM_STARTS = 512
"""Beginnings that an evaluator draws from a recording."""
EVAL_SEED = 1_000_003
"""Seed of evaluations; learners use other ones."""

Chooser = Callable[[Any, np.ndarray], np.ndarray]
"""Chooses actions [B] by observations [B, …] and by which rows just restarted, bool [B]."""


class Scores(NamedTuple):
    """Results of some play."""

    games: np.ndarray
    """Score of each game counted."""
    steps: int
    """Steps of all rows together."""
    won: int
    """Steps with a positive reward; in Pong, points won."""
    lost: int
    """Steps with a negative reward."""
    entropy: float
    """Mean token entropy of the dream in nats; NaN in a real game."""

    @property
    def per_1000(self) -> float:
        """Points won minus points lost in 1,000 steps."""
        return 1000 * (self.won - self.lost) / max(1, self.steps)


Evaluator = Callable[[Any], Scores]
"""Plays a policy in an environment of its own, from the same seed every time."""


class Step(NamedTuple):
    """One step of all rows of an environment."""

    rewards_B: np.ndarray
    done_B: np.ndarray
    """bool: the row's episode ended; what is seen next is the beginning of another."""
    infos: list[dict[str, Any]]


def steps_of(choose: Chooser, venv: VecEnv) -> Iterator[Step]:
    """Reset and step for ever; the one loop in which policies meet environments without learning."""
    observations, restarted_B = venv.reset(), np.ones(venv.num_envs, dtype=bool)
    while True:
        observations, rewards_B, restarted_B, infos = venv.step(choose(observations, restarted_B))
        yield Step(rewards_B.copy(), restarted_B.copy(), infos)


def play(choose: Chooser, venv: VecEnv, games: int = 0, steps: int = 0) -> Scores:
    """Play whole games, or for a number of steps.

    Every row plays the same number of games, so that short games do not count for more than long ones.

    Args:
        choose: the policy.
        venv: where it plays.
        games: games in all; rounded up to a multiple of the rows.
        steps: instead, steps of each row; games that end meanwhile are counted.

    Raises:
        ValueError: unless exactly one of ``games`` and ``steps`` is given.
    """
    if (games > 0) == (steps > 0):
        raise ValueError(f"expected either games or steps, got {games} and {steps}")
    rows, quota = venv.num_envs, -(-games // venv.num_envs)
    running, finished = np.zeros(rows), np.zeros(rows, dtype=int)
    scores: list[float] = []
    played = won = lost = 0
    entropies: list[float] = []
    for step in steps_of(choose, venv):
        counted = (finished < quota) if games else np.ones(rows, dtype=bool)
        played += int(counted.sum())
        won, lost = won + int((step.rewards_B[counted] > 0).sum()), lost + int((step.rewards_B[counted] < 0).sum())
        entropies += [info["entropy"] for info in step.infos if "entropy" in info]
        running += step.rewards_B
        for row in np.flatnonzero(step.done_B):
            cut_off = steps and step.infos[row].get("TimeLimit.truncated", False)
            if counted[row] and not cut_off:
                scores.append(float(running[row]))
            running[row], finished[row] = 0.0, finished[row] + 1
        if played >= rows * steps if steps else (finished >= quota).all():
            break
    entropy = float(np.mean(entropies)) if entropies else float("nan")
    return Scores(np.array(scores), played, won, lost, entropy)


def evaluate_policy(choose: Chooser, venv: VecEnv, *, seed: int, games: int = 0, steps: int = 0) -> Scores:
    """:func:`play` from a seed; torch's own generator, which policies draw from, is restored afterwards.

    A learner is therefore unaffected by evaluations of its policy.
    """
    with seeded(venv, seed):
        return play(choose, venv, games, steps)


@contextmanager
def seeded(venv: VecEnv, seed: int) -> Iterator[None]:
    """Seed an environment and torch's own generator; the generator is restored at the end."""
    venv.seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        yield


def chooser(learner: BaseAlgorithm | BasePolicy, deterministic: bool = False) -> Chooser:
    """How a learned policy chooses; by default it draws, as it did while it learned."""
    return lambda observations, restarted: learner.predict(observations, deterministic=deterministic)[0]


def row_players(players: list[Player]) -> Chooser:
    """One player for each row; observations as :mod:`agents.scripted` takes them."""

    def choose(observations: np.ndarray, restarted: np.ndarray) -> np.ndarray:
        for player in np.array(players, dtype=object)[restarted]:
            player.reset()
        return np.array([player.act(obs) for player, obs in zip(players, observations, strict=True)])

    return choose


def dream_evaluator(world: str, spec: PolicySpec, data: Path | None, steps: int, device: str = "auto") -> Evaluator:
    """Evaluate policies in dreams, the same ones for every policy: differences are then the policies'.

    Args:
        world: bundled name, folder or ``hf://`` address.
        spec: of the policies.
        data: recording whose training episodes dreams begin in; None: the world's own beginnings.
        steps: steps of each row.
        device: torch device of the dreams.
    """
    starts = None
    if data is not None:
        starts = recorded_starts(load_world(world, device), data, NUM_STARTS, seed=EVAL_SEED)
    dreams = make_dreams(world, spec, ROWS, starts=starts, device=device)
    return partial(evaluate_learner, dreams, steps=steps)


def evaluate_learner(venv: VecEnv, learner: BaseAlgorithm | BasePolicy, *, games: int = 0, steps: int = 0) -> Scores:
    """:func:`evaluate_policy` from ``EVAL_SEED`` with drawn actions."""
    return evaluate_policy(chooser(learner), venv, seed=EVAL_SEED, games=games, steps=steps)
