"""Gymnasium's sync and async vector environments hold dreams too; a fork after torch is refused and never hangs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import genie_env  # noqa: F401 (registers the ids)
from tests.helpers.paths import ROOT
from tests.helpers.worlds import NUM_ACTIONS

# In processes of their own, because pytest's has threads and much else that a fork would copy.
COMPARE = """
import sys
import gymnasium as gym, numpy as np
import genie_env

def main():
    context, world = sys.argv[1:]
    options = {"num_envs": 2, "world": world, "max_episode_steps": 4}
    native = gym.make_vec("Genie/World-v0", **options)
    workers = gym.make_vec(
        "Genie/World-v0", **options, vectorization_mode="async", vector_kwargs={"context": context}
    )
    seen = [native.reset(seed=3)[0]], [workers.reset(seed=3)[0]]
    for step in range(10):
        for envs, told in zip((native, workers), seen):
            told.extend(envs.step(np.array([step % 3, 1]))[:4])
    assert all(np.array_equal(a, b) for a, b in zip(*seen))
    workers.close()
    print("same")

if __name__ == "__main__":
    main()
"""

FORK = """
import sys
import gymnasium as gym, numpy as np, torch
import genie_env
from genie_env.rollout.forks import ForkedError

torch.set_num_threads(2)
torch.randn(600, 600) @ torch.randn(600, 600)  # Torch now has threads that no fork copies.
envs = gym.make_vec(
    "Genie/World-v0",
    num_envs=2,
    world=sys.argv[1],
    runtime=sys.argv[2],
    vectorization_mode="async",
    vector_kwargs={"context": "fork"},
)
try:
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    print("dreams")
except ForkedError as error:
    print(error)
envs.close(terminate=True)
"""


def run(code: str, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(code)
    return subprocess.run(
        [sys.executable, str(script), *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_processes_dream_what_rows_dream(random_world: Path, tmp_path: Path, context: str) -> None:
    done = run(COMPARE, tmp_path, context, str(random_world))
    assert done.returncode == 0 and done.stdout == "same\n", done.stderr


def test_sync_vector_env_is_made_by_name(random_world: Path) -> None:
    envs = gym.make_vec("Genie/World-v0", num_envs=2, world=str(random_world), vectorization_mode="sync")
    assert isinstance(envs, gym.vector.SyncVectorEnv)
    obs, _ = envs.reset(seed=0)
    assert obs in envs.observation_space
    envs.step(np.random.default_rng(0).integers(NUM_ACTIONS, size=2))
    envs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_fork_after_torch_is_refused_with_the_way_out(random_world: Path, tmp_path: Path) -> None:
    done = run(FORK, tmp_path, str(random_world), "torch")
    assert "'context': 'spawn'" in done.stdout and done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_forked_processes_dream_without_torch(random_world: Path, tmp_path: Path) -> None:
    done = run(FORK, tmp_path, str(random_world), "onnx")
    assert done.stdout == "dreams\n" and done.returncode == 0, done.stderr
