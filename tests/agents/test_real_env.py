"""The real game twin of the bundled world."""

import gymnasium as gym
import numpy as np
import pytest

import genie_env
from agents.real_env import make_real_env
from agents.scripted import make_policy
from genie_env.bundle import read_config

pytest.importorskip("ale_py")


def test_twin_and_dream_share_spaces_and_action_names() -> None:
    real, dream = make_real_env("pong"), gym.make("Genie/Pong-v0")
    assert real.action_space == dream.action_space
    assert real.observation_space == dream.observation_space
    assert real.get_wrapper_attr("get_action_meanings")() == dream.unwrapped.get_action_meanings()
    real.close()


def test_twin_gives_members_of_its_observation_space_and_repeats_a_seed() -> None:
    games = [make_real_env("pong"), make_real_env("pong")]
    for action in [None, 2, 3, 0, 2]:
        frames = [game.reset(seed=5)[0] if action is None else game.step(action)[0] for game in games]
        assert all(game.observation_space.contains(frame) for game, frame in zip(games, frames, strict=True))
        assert np.array_equal(*frames)


def test_tokens_of_a_real_frame_draw_it_back_almost_exactly() -> None:
    real, world = make_real_env("pong"), genie_env.load_world("pong")
    real.reset(seed=0)
    real.action_space.seed(0)
    frames = np.stack([real.step(real.action_space.sample())[0] for _ in range(40)])[None]
    drawn = world.decode(world.encode(frames)).numpy()
    assert np.mean((drawn.astype(float) - frames) ** 2) < 255**2 / 10**4.5
    real.close()


def test_dream_begins_where_a_real_clip_ends() -> None:
    real, dream = make_real_env("pong"), gym.make("Genie/Pong-v0")
    first, _ = real.reset(seed=0)
    clip = np.stack([first, *[real.step(2)[0] for _ in range(20)]])
    observation, _ = dream.reset(seed=0, options={"frames": clip})
    # All but the tokenizer's rare inexact patches is the clip's last frame to the byte.
    assert np.mean(np.any(observation != clip[-1], axis=-1)) < 0.02
    real.close()


def test_the_heuristic_finds_ball_and_paddle_in_the_picture_and_outplays_random_play() -> None:
    def points(name: str) -> float:
        real, policy, total = make_real_env("pong"), make_policy(name, read_config("pong"), seed=0), 0.0
        frame, _ = real.reset(seed=0)
        for _ in range(400):
            frame, reward, *_ = real.step(policy.act(frame))
            total += float(reward)
        real.close()
        return total

    assert points("heuristic") > points("random") + 3
