"""Play a dream and keep what was played as a recording that `training` reads.

A script decides here; `genie-env play --record FOLDER` does the same for a person.
"""

import argparse
import tempfile
from pathlib import Path

import gymnasium as gym
import numpy as np

import genie_env  # noqa: F401  registers the ids
from genie_env.play.play_recorder import PlayRecorder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="pong", help="bundled world or folder")
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--out", type=Path, help="folder to make; the default is a temporary one")
args = parser.parse_args()

env = gym.make("Genie/World-v0", world=args.world)
rng = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as temporary:
    recorder = PlayRecorder(args.out or Path(temporary) / "recording", env.unwrapped.config)
    frame, _ = env.reset(seed=0)
    recorder.begin(frame)
    for step in range(args.steps):
        if step % 5 == 0:
            action = int(rng.integers(env.action_space.n))
        frame, reward, terminated, truncated, info = env.step(action)
        recorder.add(info["action"], frame, reward, terminated)
        if terminated or truncated:
            frame, _ = env.reset()
            recorder.begin(frame)
    store = recorder.close()
    for split in ("train", "test"):
        entries = store.split(split)
        print(f"{split}: {len(entries)} episodes, {sum(entry.length - 1 for entry in entries)} steps")
    actions = np.concatenate([store.array("actions", entry)[:-1] for entry in store.manifest.episodes])
    for action, name in enumerate(store.manifest.source.action_meanings):
        print(f"{name}: played {int((actions == action).sum())} times")
env.close()
