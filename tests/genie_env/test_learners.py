"""Learning algorithms run in a world for 2,000 steps without a warning (pytest makes every warning an error).

The CleanRL-style loop over the native vector environment is an example, run by ``tests/test_examples.py``.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env

import genie_env  # noqa: F401 (registers the ids)

STEPS = 2000


def test_ppo_of_stable_baselines3(random_world: Path) -> None:
    envs = make_vec_env("Genie/World-v0", n_envs=4, seed=0, env_kwargs={"world": str(random_world)})
    model = PPO("CnnPolicy", envs, n_steps=125, batch_size=125, n_epochs=1, seed=0, device="cpu")
    model.learn(STEPS)
    assert model.num_timesteps == STEPS
    envs.close()


def test_dqn_of_stable_baselines3(random_world: Path) -> None:
    env = gym.make("Genie/World-v0", world=str(random_world), obs_type="tokens", action_type="latent")
    model = DQN("MlpPolicy", env, learning_starts=200, buffer_size=STEPS, train_freq=8, seed=0, device="cpu")
    model.learn(STEPS)
    assert model.num_timesteps == STEPS
    env.close()
