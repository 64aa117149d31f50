"""Dream on several processes or machines by Ray, and check that the frames are those of this process."""

import argparse
import time

import gymnasium as gym
import numpy as np

import genie_env  # noqa: F401  registers the ids

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--world", default="pong", help="bundled world, or a folder that every machine has in the same place"
)
parser.add_argument("--address", default="local", help="of the Ray cluster: host:port, auto, or local")
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--rows", type=int, default=64)
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()


def dream(envs: gym.vector.VectorEnv) -> tuple[np.ndarray, float]:
    """The last observations of all rows, and the steps per second of all rows together."""
    observations, _ = envs.reset(seed=args.seed)
    rng = np.random.default_rng(args.seed)
    began = time.perf_counter()
    for _ in range(args.steps):
        observations, *_ = envs.step(rng.integers(0, envs.single_action_space.n, args.rows))
    rate = args.steps * args.rows / (time.perf_counter() - began)
    envs.close()
    return observations, rate


cluster = {"address": args.address, "workers": args.workers}
far, far_rate = dream(gym.make_vec("Genie/Cluster-v0", args.rows, world=args.world, **cluster))
near, near_rate = dream(gym.make_vec("Genie/World-v0", args.rows, world=args.world))
same = "the same" if np.array_equal(far, near) else "OTHER"
print(
    f"{args.steps} steps of {args.rows} rows: {far_rate:.0f} per second on {args.workers} workers, {near_rate:.0f} here"
)
print(f"the last frames are {same}")
