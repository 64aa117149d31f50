"""Scores count the same games in every row, from the same seed, and leave the learner's generator alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.sb3.evaluate_policy import evaluate_policy, play, row_players
from agents.sb3.make_envs import make_dreams, make_real_games
from genie_env.bundle import load_world, read_config
from genie_env.policies.spec import game_spec, make_policy_spec


def test_scores_count_the_same_number_of_games_in_every_row(random_world: Path) -> None:
    config = read_config(random_world)
    dreams = make_dreams(random_world, make_policy_spec(config, "tokens", "real"), 3, horizon=7, device="cpu")

    def choose_zero(observations: np.ndarray, began: np.ndarray) -> np.ndarray:
        return np.zeros(len(observations), dtype=int)

    dreams.seed(0)
    scores = play(choose_zero, dreams, games=4)
    assert len(scores.games) == 6 and scores.steps <= 6 * 7
    assert scores.per_1000 == pytest.approx(1000 * (scores.won - scores.lost) / scores.steps)
    dreams.seed(0)
    some = play(choose_zero, dreams, steps=20)
    assert some.steps == 60 and math.isfinite(some.entropy)
    with pytest.raises(ValueError, match="either games or steps"):
        play(choose_zero, dreams)


def test_an_evaluation_repeats_itself_and_restores_the_generator(random_world: Path) -> None:
    spec = make_policy_spec(read_config(random_world), "tokens", "real")
    dreams = make_dreams(random_world, spec, 3, horizon=7, device="cpu")

    def choose(observations: np.ndarray, restarted: np.ndarray) -> np.ndarray:
        return torch.randint(3, (len(observations),)).numpy()

    before = torch.get_rng_state()
    first, second = (evaluate_policy(choose, dreams, seed=5, steps=20) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(first.games, second.games)
    assert first[1:] == second[1:]


def test_players_of_rows_are_reset_with_their_games(random_world: Path) -> None:
    class Counting:
        resets = steps = 0

        def reset(self) -> None:
            self.resets += 1

        def act(self, seen: np.ndarray) -> int:
            self.steps += 1
            return 0

    world, players = load_world(random_world, "cpu"), [Counting(), Counting()]
    games = make_real_games(world, game_spec(world.config), 2)
    scores = play(row_players(players), games, games=4)
    assert len(scores.games) == 4
    assert all(player.resets >= 2 and player.steps > 0 for player in players)
