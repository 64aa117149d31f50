"""Branch a dream with snapshot and restore: try every action for a few steps, play the one that pays best."""

import argparse

import gymnasium as gym

import genie_env  # noqa: F401  registers the ids

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="pong", help="bundled world or folder")
parser.add_argument("--steps", type=int, default=50)
parser.add_argument("--depth", type=int, default=8)
args = parser.parse_args()

env = gym.make("Genie/World-v0", world=args.world).unwrapped
env.reset(seed=0)
total = 0.0
for _ in range(args.steps):
    here = env.snapshot()
    returns = []
    for action in range(env.action_space.n):
        value = 0.0
        for _ in range(args.depth):
            _, reward, terminated, _, _ = env.step(action)
            value += reward
            if terminated:
                break
        returns.append(value)
        env.restore(here)
    best = max(range(len(returns)), key=returns.__getitem__)
    _, reward, terminated, _, _ = env.step(best)
    total += reward
    if terminated:
        env.reset()
print(f"return of the planner over {args.steps} steps: {total:+.0f}")
