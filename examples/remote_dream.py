"""Play in a world on a server, and check that it is the dream that this machine has; without --url, serve it here."""

import argparse
import time
from contextlib import nullcontext

import gymnasium as gym
import numpy as np

import genie_env  # noqa: F401  registers the ids
from genie_env.remote.server import ServeConfig, background_server

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--url", help="address that genie-env serve printed")
parser.add_argument("--token-file", help="file with the server's token")
parser.add_argument("--world", default="pong", help="the same world on this machine: a bundled one or a folder")
parser.add_argument("--rows", type=int, default=1)
parser.add_argument("--steps", type=int, default=500)
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


with nullcontext(args.url) if args.url else background_server(ServeConfig(args.world, port=0)) as url:
    far, far_rate = dream(gym.make_vec("Genie/Remote-v0", args.rows, url=url, token_file=args.token_file))
near, near_rate = dream(gym.make_vec("Genie/World-v0", args.rows, world=args.world))
same = "the same" if np.array_equal(far, near) else "OTHER"
print(f"{args.steps} steps of {args.rows} rows: {far_rate:.0f} steps per second on the server, {near_rate:.0f} here")
print(f"the last frames are {same}")
