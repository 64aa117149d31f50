"""Learn to play inside a dream with RLlib: PPO on the native vector environment.

RLlib 2.60 pins Gymnasium 1.2.2 and this project needs 1.4, so that both cannot be installed together: this program
shows the settings, and no test runs it.
"""

import argparse

import gymnasium as gym
from ray.rllib.algorithms.ppo import PPOConfig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="pong", help="bundled world or folder")
parser.add_argument("--steps", type=int, default=100_000, help="environment steps in all rows together")
parser.add_argument("--rows", type=int, default=64)
args = parser.parse_args()

# "genie_env:" imports the package that registers the ids, in every process.
config = (
    PPOConfig()
    .environment("genie_env:Genie/World-v0", env_config={"world": args.world})
    .env_runners(
        num_env_runners=1,
        num_envs_per_env_runner=args.rows,
        gym_env_vectorize_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
    )
)
algorithm, steps = config.build_algo(), 0
while steps < args.steps:
    results = algorithm.train()
    steps = int(results["num_env_steps_sampled_lifetime"])
algorithm.stop()
print(f"{steps} steps of learning")
