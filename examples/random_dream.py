"""Dream for a while with random actions: the shortest way to use a world."""

import argparse

import gymnasium as gym

import genie_env  # noqa: F401  registers the ids

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="pong", help="bundled world or folder")
parser.add_argument("--steps", type=int, default=500)
args = parser.parse_args()

env = gym.make("Genie/World-v0", world=args.world, temperature=0.8, action_diversity=0.1)
obs, info = env.reset(seed=0)
env.action_space.seed(0)
points = {-1.0: 0, 1.0: 0}
for _ in range(args.steps):
    obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
    if reward in points:
        points[reward] += 1
    if terminated or truncated:
        obs, info = env.reset()
env.close()
print(f"{args.steps} dreamed steps: {points[1.0]} points won, {points[-1.0]} lost")
