"""Environments step alike through torch and onnxruntime, and refuse in a sentence what a runtime cannot do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import genie_env  # noqa: F401 (registers the ids)
from genie_env.bundle import read_config
from genie_env.config import DYNAMICS_KINDS, DynamicsConfig
from genie_env.envs import options as env_options
from genie_env.envs.options import EnvOptions
from genie_env.portable import kinds
from tests.helpers.paths import ROOT

ID = "Genie/World-v0"


def make(world: Path | str, runtime: str, **options: Any) -> Any:
    return gym.make(ID, world=str(world), runtime=runtime, **options)


def dream(env: Any, steps: int, seed: int = 0) -> list[Any]:
    """Everything that random actions bring, restarts included."""
    rng, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(int(rng.integers(env.action_space.n)))
        seen.append((obs.tobytes(), reward, terminated, info["action"], info["latent_action"], info["step"]))
        if terminated or truncated:
            env.reset()
    return seen


@pytest.mark.parametrize("options", [{}, {"temperature": 0.6, "action_diversity": 0.3, "decode_steps": 2}])
def test_runtimes_dream_alike(random_world: Path, options: dict[str, Any]) -> None:
    envs = [make(random_world, runtime, obs_type="tokens", **options) for runtime in ("torch", "onnx")]
    beginnings = [env.reset(seed=5)[0] for env in envs]
    assert np.array_equal(*beginnings)
    assert dream(envs[0], 120) == dream(envs[1], 120)


def test_prompts_of_frames_and_other_starts_work_alike(random_world: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    envs = [make(random_world, runtime) for runtime in ("torch", "onnx")]
    first, second = (env.reset(seed=1, options={"frames": frames})[0] for env in envs)
    assert np.array_equal(first, second) and dream(envs[0], 20) == dream(envs[1], 20)
    starts = envs[0].unwrapped.world.starts
    starts = starts._replace(tokens_SPN=starts.tokens_SPN[2:3], actions_SP=starts.actions_SP[2:3])
    first, second = (env.reset(seed=1, options={"starts": starts})[0] for env in envs)
    assert np.array_equal(first, second) and dream(envs[0], 20) == dream(envs[1], 20)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
@pytest.mark.parametrize("copier", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_alike(random_world: Path, runtime: str, copier: Any) -> None:
    env = make(random_world, runtime, action_diversity=0.3)
    env.reset(seed=3)
    dream(env, 7)
    copied = copier(env)
    assert dream(copied, 15) == dream(env, 15)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_settings_take_effect_at_once_and_snapshots_take_them_along(random_world: Path, runtime: str) -> None:
    env = make(random_world, runtime).unwrapped
    env.reset(seed=3)
    env.temperature, env.action_diversity = 0.0, 1.0
    kept = env.snapshot()
    cold = dream(env, 8)
    env.temperature, env.action_diversity = 1.0, 0.0
    assert dream(env, 8, seed=1) != cold
    for _ in range(2):
        env.restore(kept)
        assert (env.temperature, env.action_diversity) == (0.0, 1.0) and dream(env, 8) == cold


def test_a_snapshot_of_the_other_runtime_is_refused(random_world: Path) -> None:
    env, other = make(random_world, "onnx").unwrapped, make(random_world, "torch").unwrapped
    env.reset(seed=0)
    other.reset(seed=0)
    with pytest.raises(ValueError, match=r"'onnx'.*'torch'"):
        env.restore(other.snapshot())


def resolved(world: Path, **options: Any) -> str:
    return EnvOptions(**options).resolved(read_config(world)).runtime


def test_auto_is_onnx_where_it_can(random_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env_options, "_may_have_cuda", lambda: False)
    assert resolved(random_world) == resolved(random_world, device="cpu") == "onnx"
    assert resolved(random_world, compile=True) == resolved(random_world, device="meta") == "torch"
    assert resolved(random_world, runtime="torch") == "torch"
    monkeypatch.setattr(env_options, "_may_have_cuda", lambda: True)
    assert resolved(random_world) == "torch" and resolved(random_world, device="cpu") == "onnx"
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    assert resolved(random_world, device="cpu") == "torch"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"device": "cuda"}, "it runs on the CPU, got device 'cuda'"),
        ({"compile": True}, "it compiles nothing"),
    ],
)
def test_what_onnx_cannot_do_is_refused_in_a_sentence(
    random_world: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=f"runtime 'onnx': {problem}.*use runtime='torch'"):
        make(random_world, "onnx", **options)


def test_an_unknown_runtime_a_missing_package_and_a_foreign_network_are_refused(
    random_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"runtime: expected one of \['auto', 'onnx', 'torch'\], got 'tvm'"):
        make(random_world, "tvm")
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"the package onnx is missing: pip install 'genie-env\[onnx\]'"):
        make(random_world, "onnx")
    monkeypatch.undo()
    monkeypatch.setitem(DYNAMICS_KINDS, "recurrent", DynamicsConfig)
    config = read_config(random_world)
    config = dataclasses.replace(config, dynamics=dataclasses.replace(config.dynamics, kind="recurrent"))
    assert EnvOptions().resolved(config).runtime == "torch"
    with pytest.raises(ValueError, match="is of kind 'recurrent'"):
        EnvOptions(runtime="onnx").resolved(config)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["pygame"] = None
import gymnasium as gym, numpy as np
import genie_env
env = gym.make("Genie/Pong-v0", action_diversity=0.2)
obs, _ = env.reset(seed=0)
for step in range(20):
    obs, reward, terminated, truncated, info = env.step(step % 6)
env.unwrapped.restore(env.unwrapped.snapshot())
envs = gym.make_vec("Genie/Pong-v0", num_envs=6, obs_type="grayscale")
envs.reset(seed=0)
envs.step(np.zeros(6, int))
try:
    env.unwrapped.world
except ImportError as error:
    print(error)
"""


def test_environments_step_without_torch() -> None:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_TORCH]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch is missing: a world steps without it")


def test_making_and_stepping_imports_neither_torch_nor_pygame() -> None:
    code = WITHOUT_TORCH.replace('sys.modules["torch"] = sys.modules["pygame"] = None', "").split("try:")[0]
    code += "\nprint(sorted({'torch', 'pygame', 'einops', 'tyro'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "[]", done.stderr


def test_two_processes_may_begin_at_once_from_a_folder_that_nobody_may_write(
    random_world: Path, tmp_path: Path
) -> None:
    """Nothing is cached, so there is nothing to fight for."""
    import shutil

    world = Path(shutil.copytree(random_world, tmp_path / "world"))
    world.chmod(0o555)
    code = f"""
import gymnasium as gym, genie_env
env = gym.make("{ID}", world={str(world)!r}, runtime="onnx")
env.reset(seed=0)
print(env.step(1)[0].sum())
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    first, second = (process.communicate()[0] for process in processes)
    assert first == second and first.strip().isdigit()
    assert sorted(path.name for path in world.iterdir()) == sorted(path.name for path in random_world.iterdir())
