"""Every example runs in its short form."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from tests.helpers.paths import ROOT

EXAMPLES = ROOT / "examples"
NEEDS = {
    "cluster_dream.py": "ray",
    "torchrl_ppo.py": "torchrl",
    "tianshou_ppo.py": "tianshou",
    "freeway_player.py": "ale_py",
}
"""Packages of examples that do not belong to this project."""
NOT_RUN = {"rllib_ppo.py"}
"""Examples that nothing can run beside this project's Gymnasium; they say so themselves."""
SHORT = {
    "random_dream.py": ["--steps", "20"],
    "freeway_player.py": ["--dreams", "2", "--steps", "3"],
    "look_ahead.py": ["--steps", "2", "--depth", "2"],
    "remote_dream.py": ["--rows", "2", "--steps", "20"],
    "cluster_dream.py": ["--rows", "2", "--steps", "10"],
    "play_and_record.py": ["--steps", "30"],
    # The loop of 2,000 steps without a warning that the environment promises to serve.
    "train_ppo.py": ["--steps", "128", "--rows", "8"],
    "torchrl_ppo.py": ["--steps", "2048"],
    "tianshou_ppo.py": ["--steps", "256", "--rows", "4", "--epochs", "1"],
    "cleanrl_ppo.py": ["--steps", "2048", "--rows", "16", "--epochs", "1"],
}


def test_every_example_has_a_short_form() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SHORT) | NOT_RUN
    for name in NOT_RUN:
        assert "no test runs it" in (EXAMPLES / name).read_text()
        ast.parse((EXAMPLES / name).read_text())


@pytest.mark.parametrize("name", sorted(SHORT))
def test_example_runs(name: str, random_world: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed")
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), "--world", str(random_world), *SHORT[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "steps" in done.stdout


def test_lerobots_envhub_gets_its_environments(random_world: Path, lively: None) -> None:
    # As EnvHub does: the file of the repository is run, and its function called with these names.
    make_env = runpy.run_path(str(EXAMPLES / "envhub" / "env.py"))["make_env"]
    suites = make_env(n_envs=3, use_async_envs=False, cfg=None, world=str(random_world), max_episode_steps=15)
    ((suite, tasks),) = suites.items()
    assert isinstance(suite, str) and list(tasks) == [0]
    envs, near = tasks[0], gym.make_vec("Genie/World-v0", 3, world=str(random_world), max_episode_steps=15)
    assert envs.metadata["autoreset_mode"] == gym.vector.AutoresetMode.SAME_STEP
    obs, info = envs.reset(seed=[5, 6, 7])
    assert np.array_equal(obs["pixels"], near.reset(seed=5)[0]) and not info["is_success"].any()
    returns_B, ends = np.zeros(3), 0
    for step in range(40):
        obs, rewards, terminated, truncated, info = envs.step(np.full(3, step % 3))
        assert envs.observation_space.contains(obs)
        ended, returns_B = terminated | truncated, returns_B + rewards
        assert np.array_equal(info["is_success"], ended & (returns_B > 0))
        for row in np.flatnonzero(ended):
            assert envs.single_observation_space.contains(info["final_obs"][row])
            assert info["final_info"]["is_success"][row] == info["is_success"][row]
        ends, returns_B = ends + int(ended.sum()), np.where(ended, 0, returns_B)
    assert ends > 3
    envs.close()
