"""Dreams and real games give a policy the same observations and take the same actions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from agents.real_env import make_real_env
from agents.sb3.make_envs import (
    RandomStart,
    StickyActions,
    make_dreams,
    make_real_games,
    recorded_starts,
    usual_entropy,
)
from genie_env.bundle import load_world
from genie_env.policies.spec import PolicySpec, make_policy_spec
from tests.helpers.worlds import TELLING_CHANGES, TinyWorld


def test_real_games_show_what_the_dream_shows(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    for obs_type in ("tokens", "grayscale", "rgb"):
        games = make_real_games(
            world, make_policy_spec(world.config, obs_type, "real", frame_stack=2), 2, random_starts=False
        )
        games.seed(4)
        observations = games.reset()
        frame, _ = make_real_env(world).reset(seed=4)
        tokens = world.encode(frame[None, None])[0, 0].numpy()
        expected = {"tokens": tokens, "grayscale": None, "rgb": frame}[obs_type]
        assert observations.shape[0] == 2
        if expected is not None:
            np.testing.assert_array_equal(observations[0, ..., -expected.shape[-1] :], expected)
        np.testing.assert_array_equal(games.get_images()[0], frame)
        games.close()


def test_terminal_observations_of_real_games_are_seen_the_same_way(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    games = make_real_games(world, make_policy_spec(world.config, "tokens", "real"), 1)
    games.reset()
    for _ in range(3000):
        _, _, dones, infos = games.step(np.zeros(1, dtype=int))
        if dones[0]:
            break
    assert dones[0] and infos[0]["terminal_observation"].shape == (4 * 64,)


def test_latent_actions_reach_the_real_game_through_the_map(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    mapped = world.config.action_map
    assert mapped is not None
    latent = make_policy_spec(world.config, "rgb", "latent", frame_stack=1)
    real = PolicySpec("rgb", "real", (0, 1, 2), mapped.latent_to_real, frame_stack=1)
    frames = []
    for spec in (latent, real):
        games = make_real_games(world, spec, 1, random_starts=False)
        games.seed(0)
        games.reset()
        frames.append([games.step(np.array([action]))[0] for action in (0, 1, 2, 0)])
    np.testing.assert_array_equal(*frames)


def test_latent_actions_that_tell_changes_reach_the_real_game(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    world = world.replace(config=dataclasses.replace(world.config, action_map=TELLING_CHANGES))
    latent = make_policy_spec(world.config, "rgb", "latent", frame_stack=1)
    frames = []
    for spec, actions in ((latent, (1, 0, 1, 2)), (PolicySpec("rgb", "real", (0, 1, 2), (0, 1, 2), 1), (1, 1, 2, 1))):
        games = make_real_games(world, spec, 1, random_starts=False)
        games.seed(0)
        games.reset()
        frames.append([games.step(np.array([action]))[0] for action in actions])
    np.testing.assert_array_equal(*frames)


def test_games_begin_with_different_random_actions_and_repeat_a_seed(random_world: Path) -> None:
    game = RandomStart(make_real_env(str(random_world)), most=7)
    begun = [game.reset(seed=seed)[0] for seed in (0, 1, 2, 3, 0)]
    np.testing.assert_array_equal(begun[0], begun[4])
    assert len({frame.tobytes() for frame in begun}) > 2


def test_a_random_start_in_which_somebody_scores_starts_again(random_world: Path) -> None:
    """Points of the start do not count: a game that is played to the end counts all of its own."""
    game = RandomStart(make_real_env(str(random_world)), most=2000)
    first = make_real_env(str(random_world)).reset()[0]
    plain = 0
    for seed in range(8):
        frame, _ = game.reset(seed=seed)
        plain += int((np.abs(frame.astype(int) - first).sum(-1) > 0).mean() < 0.05)
    assert plain > 4


def test_dreams_begin_in_recorded_moments(tiny_world: TinyWorld) -> None:
    world = load_world(tiny_world.bundle, "cpu")
    starts = recorded_starts(world, tiny_world.data, 12, length=4)
    assert starts.tokens_SPN.shape == (12, 4, 64) and starts.actions_SP.shape == (12, 3)
    low, high = (usual_entropy(world, starts, percentile) for percentile in (1, 99))
    assert 0 <= low < high
    spec = make_policy_spec(world.config, "tokens", "real")
    dreams = make_dreams(tiny_world.bundle, spec, 12, starts=starts, horizon=5, device="cpu")
    frames = dreams.reset()[:, -64:]
    assert {row.tobytes() for row in frames} <= {row.numpy().tobytes() for row in starts.tokens_SPN[:, -1]}
    with pytest.raises(ValueError, match="no episode has 1000001 frames"):
        recorded_starts(world, tiny_world.data, 1, length=10**6)


class _Listening(VecEnv):
    """Rows that remember what is played; those of ``ends`` end at that step."""

    def __init__(self, rows: int, ends: dict[int, int]) -> None:
        self.played: list[np.ndarray] = []
        self._ends = ends
        super().__init__(rows, gym.spaces.Discrete(1), gym.spaces.Discrete(5))

    def reset(self) -> np.ndarray:
        return np.zeros(self.num_envs)

    def step_async(self, actions: np.ndarray) -> None:
        self.played.append(np.array(actions))

    def step_wait(self) -> Any:
        dones = np.array([self._ends.get(row) == len(self.played) - 1 for row in range(self.num_envs)])
        return np.zeros(self.num_envs), np.zeros(self.num_envs), dones, [{} for _ in dones]

    def close(self) -> None: ...
    def get_attr(self, *_: Any) -> Any:
        return [None] * self.num_envs

    def set_attr(self, *_: Any) -> None: ...
    def env_method(self, *_: Any, **__: Any) -> Any: ...
    def env_is_wrapped(self, *_: Any) -> Any: ...


def test_sticky_rows_repeat_what_they_played_last_and_begin_anew_after_an_end() -> None:
    asked_TB = np.random.default_rng(0).integers(5, size=(12, 400))

    def played() -> np.ndarray:
        below = _Listening(asked_TB.shape[1], {0: 5, 1: 7})
        dreams = StickyActions(below, 0.25)
        dreams.seed(3)
        dreams.reset()
        for actions_B in asked_TB:
            dreams.step(actions_B)
        return np.array(below.played)

    played_TB = played()
    np.testing.assert_array_equal(played_TB[0], asked_TB[0])
    repeated_TB = played_TB[1:] != asked_TB[1:]
    np.testing.assert_array_equal(played_TB[1:][repeated_TB], played_TB[:-1][repeated_TB])
    # Four of five repetitions can be told from what was asked for.
    assert 0.25 * 0.8 - 0.03 < repeated_TB.mean() < 0.25 * 0.8 + 0.03
    assert played_TB[6, 0] == asked_TB[6, 0] and played_TB[8, 1] == asked_TB[8, 1]
    np.testing.assert_array_equal(played(), played_TB)
