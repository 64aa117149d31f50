"""What environments do with an ensemble's disagreement: they report it, act on it, and repeat it to the byte."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from genie_env.bundle import load_world, open_bundle, read_config
from genie_env.envs.options import EnvOptions
from genie_env.portable.export import export
from genie_env.portable.step import StepOptions

ID = "Genie/World-v0"
ROWS, STEPS = 5, 12


def make(world: Path, **options: Any) -> gym.Env[Any, Any]:
    return gym.make(ID, world=str(world), **options)


def dream(env: gym.Env[Any, Any], steps: int = STEPS, seed: int = 0) -> list[tuple[Any, ...]]:
    """Everything that some steps return, comparable."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(steps):
        obs, *rest, info = env.step(int(rng.integers(3)))
        found.append((obs.tobytes(), *rest, info))
    return found


def uncertainties(world: Path, **options: Any) -> list[float]:
    env = make(world, **options)
    env.reset(seed=0)
    return [step[-1]["uncertainty"] for step in dream(env)]


def test_uncertainty_is_reported_where_two_members_play(ensemble_world: Path, random_world: Path) -> None:
    env = make(ensemble_world)
    assert env.reset(seed=0)[1]["uncertainty"] == 0.0
    infos = [step[-1] for step in dream(env)]
    assert all(type(info["uncertainty"]) is float and info["uncertainty"] > 0 for info in infos)
    assert not any("too_uncertain" in info for info in infos)
    for single in (make(random_world), make(ensemble_world, members=1)):
        assert "uncertainty" not in single.reset(seed=0)[1]
        assert not any("uncertainty" in step[-1] for step in dream(single))


def test_the_first_members_play(ensemble_world: Path) -> None:
    three, two = uncertainties(ensemble_world), uncertainties(ensemble_world, members=2)
    assert three == uncertainties(ensemble_world, members=3) and three[0] != two[0]
    world = load_world(ensemble_world, "cpu")
    assert world.engine(members=1).dynamics is world.dynamics.members[0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"members": 0}, "members: expected an integer >= 1, got 0"),
        ({"members": 4}, r"members: world 'random' has 3, got 4"),
        ({"members": 1.5}, "members: expected an integer >= 1, got 1.5"),
        ({"max_uncertainty": -0.1}, "max_uncertainty: expected a number >= 0, got -0.1"),
        ({"uncertainty_penalty": float("nan")}, "uncertainty_penalty: expected a number >= 0, got nan"),
        ({"members": 1, "uncertainty_penalty": 1.0}, "uncertainty_penalty: expected two or more members to disagree"),
        ({"members": 1, "max_uncertainty": 0.0}, "max_uncertainty: expected two or more members to disagree"),
    ],
)
def test_what_cannot_be_is_named(ensemble_world: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make(ensemble_world, **options)


def test_a_single_dynamics_has_one_member_and_nothing_to_act_on(random_world: Path) -> None:
    assert make(random_world, members=1).unwrapped.options.members == 1
    with pytest.raises(ValueError, match="members: world 'random' has 1, got 2"):
        make(random_world, members=2)
    with pytest.raises(ValueError, match="max_uncertainty: expected two or more members"):
        make(random_world, max_uncertainty=0.5)


def test_the_penalty_lowers_the_reward_by_the_uncertainty_and_changes_nothing_else(ensemble_world: Path) -> None:
    plain, charged = make(ensemble_world), make(ensemble_world, uncertainty_penalty=0.25)
    for env in (plain, charged):
        env.reset(seed=3)
    for (obs, reward, *ends, info), (other_obs, other, *other_ends, other_info) in zip(
        dream(plain), dream(charged), strict=True
    ):
        assert (obs, ends, info) == (other_obs, other_ends, other_info)
        assert other == reward - 0.25 * info["uncertainty"] < reward


def test_a_step_truncates_exactly_where_the_uncertainty_exceeds_the_limit(ensemble_world: Path) -> None:
    seen = uncertainties(ensemble_world)
    limit = float(np.median(seen))
    env = make(ensemble_world, max_uncertainty=limit)
    assert env.reset(seed=0)[1]["too_uncertain"] is False
    for (*_, truncated, info), value in zip(dream(env), seen, strict=True):
        assert info["uncertainty"] == value and info["too_uncertain"] is (value > limit) is truncated
    assert min(seen) <= limit < max(seen)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_rows_are_single_environments_to_the_byte(ensemble_world: Path, mode: AutoresetMode) -> None:
    options = {"max_uncertainty": float(np.quantile(uncertainties(ensemble_world), 0.9)), "uncertainty_penalty": 0.5}
    envs = gym.make_vec(ID, num_envs=ROWS, world=str(ensemble_world), autoreset_mode=mode, **options)
    singles = [make(ensemble_world, **options) for _ in range(ROWS)]
    obs, infos = envs.reset(seed=7)
    for row, env in enumerate(singles):
        single_obs, info = env.reset(seed=7 + row)
        assert np.array_equal(obs[row], single_obs) and {k: infos[k][row].item() for k in info} == info
    running, cut = np.ones(ROWS, bool), 0
    for step in range(STEPS):
        actions = np.random.default_rng(step).integers(3, size=ROWS)
        obs, rewards, terminated, truncated, infos = envs.step(actions)
        for row in np.flatnonzero(running):
            single_obs, reward, *ends, info = singles[row].step(int(actions[row]))
            ended = mode == AutoresetMode.SAME_STEP and any(ends)
            found = infos["final_info"] if ended else infos
            assert {k: found[k][row].item() for k in info} == info and all(found[f"_{k}"][row] for k in info)
            assert (rewards[row], terminated[row], truncated[row]) == (reward, *ends)
            assert np.array_equal(infos["final_obs"][row] if ended else obs[row], single_obs)
            # A row that ended is another episode from here on.
            running[row] = not any(ends)
            cut += bool(ends[1])
        if not running.any():
            break
        ended_B = terminated | truncated
        if mode == AutoresetMode.DISABLED and ended_B.any():
            envs.reset(options={"reset_mask": ended_B})
    assert cut


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_and_snapshots_go_on_exactly(ensemble_world: Path, copier: Any) -> None:
    env = make(ensemble_world, members=2, uncertainty_penalty=0.5, max_uncertainty=1.0)
    env.reset(seed=3)
    dream(env, 7)
    copied, kept = copier(env), env.unwrapped.snapshot()
    expected = dream(env)
    assert dream(copied) == expected
    env.unwrapped.restore(kept)
    assert dream(env) == expected
    with pytest.raises(ValueError, match="snapshot: expected world, runtime, rows, diversity window and members"):
        other = make(ensemble_world).unwrapped
        other.reset(seed=0)
        other.restore(kept)


def test_gymnasiums_checker_is_content(ensemble_world: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*render.*")
        check_env(make(ensemble_world, max_uncertainty=99.0, uncertainty_penalty=0.1).unwrapped, skip_render_check=True)


def test_an_ensemble_steps_in_torch_and_every_way_to_onnx_says_so(ensemble_world: Path, tmp_path: Path) -> None:
    config = read_config(ensemble_world)
    assert EnvOptions().resolved(config).runtime == "torch"
    refusal = "runtime 'onnx': the dynamics of world 'random' is of kind 'ensemble'.*use runtime='torch'"
    with pytest.raises(ValueError, match=refusal):
        make(ensemble_world, runtime="onnx")
    resolved = EnvOptions().resolved(config)
    step = StepOptions(resolved.sampling, resolved.action_type, resolved.diversity_window)
    with pytest.raises(ValueError, match=refusal):
        export(open_bundle(ensemble_world), tmp_path / "world.onnx", step)
    assert not list(tmp_path.iterdir())


def test_options_are_json_plain(ensemble_world: Path) -> None:
    options = {"members": np.int64(2), "max_uncertainty": np.float32(0.5), "uncertainty_penalty": np.float64(0.25)}
    env = make(ensemble_world, **options)
    assert env.spec is not None and '"members": 2' in env.spec.to_json()
    assert dataclasses.asdict(env.unwrapped.options)["max_uncertainty"] == 0.5
