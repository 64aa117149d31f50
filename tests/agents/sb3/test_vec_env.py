"""The stable-baselines3 adapter is many single environments, for a learner too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.sb3.vec_env import GenieVecEnv
from genie_env.world import Prompts
from tests.helpers.lively import make_lively

ROWS = 4
ID = "Genie/World-v0"


@pytest.fixture(params=["torch", "onnx"])
def lively(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In either runtime: rewards of all kinds and an end about every twentieth step."""
    make_lively(monkeypatch, request.param, ends_every=20)


def native(world: Path, max_entropy: float = np.inf, **options: Any) -> GenieVecEnv:
    mode = AutoresetMode.SAME_STEP
    envs = gym.make_vec(ID, num_envs=ROWS, world=str(world), autoreset_mode=mode, **options)
    return GenieVecEnv(envs, max_entropy)


def singles(world: Path, **options: Any) -> DummyVecEnv:
    return DummyVecEnv([lambda: gym.make(ID, world=str(world), **options)] * ROWS)


def test_steps_of_an_ensemble_equal_those_of_single_environments(
    ensemble_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lively(monkeypatch, "torch", ends_every=20)
    options = {"max_episode_steps": 15, "uncertainty_penalty": 0.01, "members": 2}
    steps_are_equal(ensemble_world, options)
    env = native(ensemble_world, max_uncertainty=0.0)
    env.reset()
    _, _, dones, infos = env.step(np.zeros(ROWS, int))
    assert all(dones) and all(info["uncertainty"] > 0 and info["too_uncertain"] for info in infos)
    assert all("terminal_observation" in info for info in infos) and any(i["TimeLimit.truncated"] for i in infos)


def test_steps_equal_those_of_single_environments(random_world: Path, lively: None) -> None:
    steps_are_equal(random_world, {"max_episode_steps": 15, "action_diversity": 0.3})


def steps_are_equal(random_world: Path, options: dict[str, Any]) -> None:
    ours, theirs = native(random_world, **options), singles(random_world, **options)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    rng, ends = np.random.default_rng(0), np.zeros(2, dtype=int)
    for envs in (ours, theirs):
        envs.seed(7)
        envs.set_options({"temperature": 0.7})
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    assert ours.reset_infos == theirs.reset_infos
    for _ in range(60):
        actions = rng.integers(3, size=ROWS)
        got, expected = ours.step(actions), theirs.step(actions)
        for a, b in zip(got[:3], expected[:3], strict=True):
            assert isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        for a, b in zip(got[3], expected[3], strict=True):
            np.testing.assert_array_equal(a.pop("terminal_observation", 0), b.pop("terminal_observation", 0))
            assert a == b
            ends[int(a["TimeLimit.truncated"])] += 1
        assert ours.reset_infos == theirs.reset_infos
    assert (ends > 3).all(), "rows ended in both ways"


def test_ppo_learns_the_same_parameters_as_in_single_environments(random_world: Path, lively: None) -> None:
    def learn(envs: VecEnv) -> dict[str, torch.Tensor]:
        model = PPO("MlpPolicy", envs, n_steps=64, batch_size=64, n_epochs=2, seed=3, device="cpu")
        model.learn(512)
        assert model.num_timesteps == 512
        return model.policy.state_dict()

    options = {"max_episode_steps": 15, "obs_type": "tokens"}
    ours, theirs = learn(native(random_world, **options)), learn(singles(random_world, **options))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_a_learner_changes_stays_its_own(random_world: Path) -> None:
    changed, left = native(random_world), native(random_world)
    for envs in (changed, left):
        envs.seed(0)
        envs.reset()
    for _ in range(5):
        for envs in (changed, left):
            seen = envs.step(np.zeros(ROWS, dtype=int))
            if envs is changed:
                seen[0][:] = 0
                seen[1][:] = 100.0
                seen[3][0].clear()
            else:
                expected = seen
    np.testing.assert_array_equal(changed.step(np.ones(ROWS, dtype=int))[0], left.step(np.ones(ROWS, dtype=int))[0])
    assert abs(expected[1]).max() <= 1


def test_rows_of_high_entropy_are_cut_off_and_bootstrapped(random_world: Path, monkeypatch: Any) -> None:
    plain = native(random_world)
    plain.seed(0)
    plain.reset()
    entropies = [[info["entropy"] for info in plain.step(np.zeros(ROWS, dtype=int))[3]] for _ in range(3)]
    threshold = float(np.median(entropies[0]))
    cut = native(random_world, max_entropy=threshold)
    cut.seed(0)
    first = cut.reset()
    observations, _, dones, infos = cut.step(np.zeros(ROWS, dtype=int))
    assert dones.any() and not dones.all()
    for row, info in enumerate(infos):
        assert info["entropy"] == entropies[0][row]
        assert dones[row] == info["TimeLimit.truncated"] == (entropies[0][row] > threshold)
        assert ("terminal_observation" in info) == dones[row]
        if dones[row]:
            assert not np.array_equal(info["terminal_observation"], observations[row])
            assert cut.reset_infos[row]["step"] == 0
    assert first.shape == observations.shape


def test_only_same_step_autoreset_is_taken(random_world: Path) -> None:
    envs = gym.make_vec(ID, num_envs=2, world=str(random_world))
    with pytest.raises(ValueError, match="SAME_STEP"):
        GenieVecEnv(envs)


def test_settings_reach_the_dreams_or_raise(random_world: Path) -> None:
    envs, cold = native(random_world), native(random_world, temperature=0.0)
    envs.set_attr("temperature", 0.0)
    assert envs.get_attr("temperature") == [0.0] * ROWS
    for one in (envs, cold):
        one.seed(1)
    np.testing.assert_array_equal(envs.reset(), cold.reset())
    for _ in range(5):
        np.testing.assert_array_equal(*(one.step(np.ones(ROWS, dtype=int))[0] for one in (envs, cold)))
    with pytest.raises(AttributeError, match="temprature"):
        envs.set_attr("temprature", 0.0)
    with pytest.raises(ValueError, match="temperature"):
        envs.set_attr("temperature", -1.0)


def test_given_starts_are_those_of_every_reset(random_world: Path) -> None:
    envs = gym.make_vec(
        ID, num_envs=ROWS, world=str(random_world), obs_type="tokens", autoreset_mode=AutoresetMode.SAME_STEP
    )
    starts = Prompts(torch.full((2, 1, 64), 3), torch.zeros(2, 0, dtype=torch.long))
    ours = GenieVecEnv(envs, starts=starts)
    for _ in range(2):
        assert (np.asarray(ours.reset()) == 3).all()


def test_attributes_methods_and_options_of_rows(random_world: Path) -> None:
    envs = native(random_world)
    assert envs.get_attr("num_envs", [0, 1]) == [ROWS, ROWS]
    assert envs.env_method("get_action_meanings", indices=0) == [["NOOP", "UP", "DOWN"]]
    assert envs.env_is_wrapped(gym.Wrapper) == [False] * ROWS
    with pytest.raises(ValueError, match="indices=None"):
        envs.set_attr("render_mode", None, 0)
    clips = np.random.default_rng(0).integers(0, 256, (ROWS, 2, 64, 64, 3), dtype=np.uint8)
    envs.set_options([{"frames": clip} for clip in clips])
    with_frames = envs.reset()
    assert isinstance(with_frames, np.ndarray) and with_frames.shape == (ROWS, 64, 64, 3)
    envs.set_options([{"temperature": t / 10} for t in range(ROWS)])
    with pytest.raises(ValueError, match="same in every row"):
        envs.reset()
    envs.set_options([{"start": 0}] * (ROWS - 1) + [{}])
    with pytest.raises(ValueError, match="same names"):
        envs.reset()
    envs.close()
