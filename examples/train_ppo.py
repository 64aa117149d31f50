"""Train PPO inside a dream, with stable-baselines3 and nothing else, and see what it earns there."""

import argparse

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecFrameStack

import genie_env  # noqa: F401  registers the ids
from agents.sb3.vec_env import GenieVecEnv

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="pong", help="bundled world or folder")
parser.add_argument("--steps", type=int, default=500_000)
parser.add_argument("--rows", type=int, default=32)
args = parser.parse_args()

dreams = gym.make_vec(
    "Genie/World-v0",
    num_envs=args.rows,
    world=args.world,
    obs_type="grayscale",
    autoreset_mode=AutoresetMode.SAME_STEP,
    max_episode_steps=500,  # a dream is cut off before it drifts; PPO bootstraps there
)
envs = VecFrameStack(GenieVecEnv(dreams), 4)
steps_a_row = min(128, args.steps // args.rows)
batch = steps_a_row * args.rows // 8
model = PPO("CnnPolicy", envs, n_steps=steps_a_row, batch_size=batch, n_epochs=4, ent_coef=0.01, seed=0, verbose=1)
model.learn(args.steps)

points, observations = 0.0, envs.reset()
for _ in range(100):
    actions, _ = model.predict(observations)
    observations, rewards, dones, infos = envs.step(actions)
    points += float(np.sum(rewards))
envs.close()
print(f"after {model.num_timesteps} steps of learning: {10 * points / args.rows:+.1f} net points per 1,000 steps")
