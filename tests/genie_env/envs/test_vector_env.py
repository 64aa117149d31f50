"""The vector environment is many single ones: row by row, mode by mode, down to the type of every array."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from genie_env.envs.vector_env import GenieVectorEnv
from tests.helpers.worlds import NUM_ACTIONS, NUM_STARTS

ID = "Genie/World-v0"
ROWS = 5
FRAMES = np.random.default_rng(0).integers(0, 256, (ROWS, 3, 64, 64, 3), dtype=np.uint8)
MODES = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)


def native(world: Path, rows: int = ROWS, **options: Any) -> GenieVectorEnv:
    envs = gym.make_vec(ID, num_envs=rows, world=str(world), **options)
    assert isinstance(envs, GenieVectorEnv)
    return envs


def reference(world: Path, mode: AutoresetMode, rows: int = ROWS, **options: Any) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: gym.make(ID, world=str(world), **options)] * rows, autoreset_mode=mode)


def moves(steps: int, rows: int = ROWS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(NUM_ACTIONS, size=(steps, rows))


def same(got: Any, expected: Any, where: str = "") -> None:
    """Equal in structure, type and value, to the last bit."""
    assert type(got) is type(expected), f"{where}: {type(got)}, expected {type(expected)}"
    if isinstance(expected, dict):
        assert set(got) == set(expected), where
        for key in expected:
            same(got[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, tuple):
        assert len(got) == len(expected), where
        for index, pair in enumerate(zip(got, expected, strict=True)):
            same(*pair, f"{where}[{index}]")
    elif isinstance(expected, np.ndarray):
        assert got.dtype == expected.dtype and got.shape == expected.shape, f"{where}: {got.dtype} {got.shape}"
        if expected.dtype == object:
            for index, pair in enumerate(zip(got, expected, strict=True)):
                same(*pair, f"{where}[{index}]")
        else:
            np.testing.assert_array_equal(got, expected, err_msg=where)
    else:
        assert got == expected, where


@MODES
@pytest.mark.parametrize(
    "options",
    [
        {"max_episode_steps": 12},
        {"max_episode_steps": 7, "obs_type": "tokens", "action_type": "latent", "action_diversity": 0.4},
        {"max_episode_steps": 9, "obs_type": "grayscale", "decode_steps": 3, "top_p": 0.9},
    ],
    ids=["rgb", "tokens", "grayscale"],
)
def test_vector_env_is_gymnasiums_own_over_single_envs(
    random_world: Path, mode: AutoresetMode, options: dict[str, Any], lively: None
) -> None:
    ours, theirs = native(random_world, autoreset_mode=mode, **options), reference(random_world, mode, **options)
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"] is mode
    for name in ("observation_space", "action_space", "single_observation_space", "single_action_space", "num_envs"):
        assert getattr(ours, name) == getattr(theirs, name), name
    same(ours.reset(seed=7), theirs.reset(seed=7), "reset")
    ends = np.zeros((2, ROWS), dtype=int)
    for step, actions in enumerate(moves(60)):
        got, expected = ours.step(actions), theirs.step(actions)
        same(got, expected, f"step {step}: ")
        ends += np.stack(expected[2:4])
        ended = expected[2] | expected[3]
        if mode == AutoresetMode.DISABLED and ended.any():
            asked = {"reset_mask": ended}
            same(ours.reset(options=asked), theirs.reset(options={**asked}), f"reset after step {step}: ")
            assert set(asked) == {"reset_mask"}
    assert (ends.sum(0) > 3).all() and (ends.sum(1) > 5).all(), "rows ended in both ways and at different times"
    # A whole reset in the midst of it all, without seeds.
    same(ours.reset(), theirs.reset(), "reset again")
    same(ours.step(moves(1)[0]), theirs.step(moves(1)[0]), "after reset")


@MODES
def test_reset_options_reach_every_row_as_they_reach_single_envs(
    random_world: Path, mode: AutoresetMode, lively: None
) -> None:
    ours = native(random_world, autoreset_mode=mode, max_episode_steps=6)
    theirs = reference(random_world, mode, max_episode_steps=6)
    options = {"temperature": 0.0, "action_diversity": 1.0, "start": 2}
    same(ours.reset(seed=[3, 1, 4, 1, 5], options=options), theirs.reset(seed=[3, 1, 4, 1, 5], options={**options}))
    for actions in moves(14):
        got, expected = ours.step(actions), theirs.step(actions)
        same(got, expected)
        ended = expected[2] | expected[3]
        if mode == AutoresetMode.DISABLED and ended.any():
            wanted = {"reset_mask": ended, "temperature": 0.5}
            same(ours.reset(options=wanted), theirs.reset(options={**wanted}))


@pytest.fixture
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """So many threads of either runtime, for one test."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(request.param))
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("rows", "steps", "threads"), [(1, 120, 1), (5, 500, 2), (64, 120, 2)], indirect=["threads"])
def test_row_is_the_single_env_with_its_seed(
    random_world: Path, rows: int, steps: int, threads: int, lively: None
) -> None:
    """Byte for byte, entropies and resets included, whatever the number of threads."""
    options = {"max_episode_steps": 30, "action_diversity": 0.2}
    envs, actions = native(random_world, rows, **options), moves(steps, rows)
    seen, entropies = [envs.reset(seed=40)[0]], []
    for chosen in actions:
        obs, _, _, _, info = envs.step(chosen)
        seen.append(obs)
        entropies.append(info["entropy"])
    for row in {0, rows // 2, rows - 1}:
        env = gym.make(ID, world=str(random_world), **options)
        obs, _ = env.reset(seed=40 + row)
        ended = False
        assert np.array_equal(seen[0][row], obs)
        for step, chosen in enumerate(actions[:, row]):
            if ended:
                obs, ended = env.reset()[0], False
            else:
                obs, _, terminated, truncated, info = env.step(chosen)
                ended = terminated or truncated
                assert entropies[step][row] == info["entropy"], f"row {row}, step {step}"
            assert np.array_equal(seen[step + 1][row], obs), f"row {row}, step {step}"


def test_rows_keep_their_own_generators_whatever_order_they_reset_in(random_world: Path) -> None:
    one, other = (native(random_world, 3, obs_type="tokens") for _ in range(2))
    one.reset(seed=0), other.reset(seed=0)
    for mask in ([1, 0, 0], [0, 1, 0], [0, 0, 1]):
        one.reset(options={"reset_mask": np.array(mask, dtype=bool)})
    for mask in ([0, 0, 1], [1, 1, 0]):
        other.reset(options={"reset_mask": np.array(mask, dtype=bool)})
    for actions in moves(5, 3):
        assert np.array_equal(one.step(actions)[0], other.step(actions)[0])


def test_masked_reset_goes_unnoticed_by_the_other_rows(random_world: Path) -> None:
    one, other = (native(random_world, obs_type="tokens") for _ in range(2))
    seen, _ = one.reset(seed=0)
    other.reset(seed=0)
    for step, actions in enumerate(moves(20)):
        if step % 4 == 0:
            mask = np.array([False, True, False, False, True])
            obs, infos = one.reset(seed=step, options={"reset_mask": mask})
            assert np.array_equal(infos["_action"], mask) and set(infos["action"][mask]) == {-1}
            assert np.array_equal(obs[~mask], seen[~mask])
        seen = one.step(actions)[0]
        assert np.array_equal(seen[[0, 2, 3]], other.step(actions)[0][[0, 2, 3]])


def test_every_row_takes_its_own_prompt(random_world: Path) -> None:
    envs = native(random_world)
    obs, _ = envs.reset(seed=0, options={"frames": FRAMES})
    for row in range(ROWS):
        env = gym.make(ID, world=str(random_world))
        assert np.array_equal(env.reset(seed=row, options={"frames": FRAMES[row]})[0], obs[row])
    mask = np.array([True, False, True, False, False])
    again, _ = envs.reset(options={"frames": FRAMES[[3, 4]], "reset_mask": mask})
    assert np.array_equal(again, obs[[3, 1, 4, 3, 4]])


@MODES
def test_everything_returned_is_fresh(random_world: Path, mode: AutoresetMode, lively: None) -> None:
    envs = native(random_world, autoreset_mode=mode, max_episode_steps=5)
    twin = native(random_world, autoreset_mode=mode, max_episode_steps=5)

    def arrays(value: Any) -> list[np.ndarray]:
        if isinstance(value, dict):
            value = tuple(value.values())
        if isinstance(value, np.ndarray) and value.dtype == object:
            value = tuple(value)
        if isinstance(value, tuple):
            return [array for part in value for array in arrays(part)]
        return [value] if isinstance(value, np.ndarray) else []

    results = [envs.reset(seed=0)]
    twin.reset(seed=0)
    for actions in moves(12):
        same(got := envs.step(actions), twin.step(actions))
        for old in arrays(results[-1]):
            assert not any(np.shares_memory(old, new) for new in arrays(got))
        # Users scale rewards and observations in place; that must not reach the dream.
        for array in arrays(got):
            array.fill(0)
        results.append(got)
        ended = np.array(envs._ended_B)
        if mode == AutoresetMode.DISABLED and ended.any():
            for each in (envs, twin):
                each.reset(options={"reset_mask": ended})


@MODES
def test_restored_snapshot_replays_exactly(random_world: Path, mode: AutoresetMode, lively: None) -> None:
    envs = native(random_world, autoreset_mode=mode, max_episode_steps=9, action_diversity=0.3)
    envs.reset(seed=0)

    def play(steps: int, seed: int) -> list[Any]:
        told = []
        for actions in moves(steps, seed=seed):
            told.append(envs.step(actions))
            ended = told[-1][2] | told[-1][3]
            if mode == AutoresetMode.DISABLED and ended.any():
                told.append(envs.reset(options={"reset_mask": ended}))
        return told

    # In the midst of episodes, just when one has ended.
    for actions in moves(9, seed=3):
        _, _, terminated, truncated, _ = envs.step(actions)
        if (terminated | truncated).any():
            break
    if mode == AutoresetMode.DISABLED:
        envs.reset(options={"reset_mask": terminated | truncated})
    saved = envs.snapshot()
    first = play(15, seed=5)
    envs.restore(saved)
    second = play(15, seed=5)
    copied = copy.deepcopy(saved)
    envs.restore(copied)
    for one, other, third in zip(first, second, play(15, seed=5), strict=True):
        same(one, other)
        same(one, third)


def test_deep_copied_and_pickled_envs_go_on_alike(random_world: Path) -> None:
    envs = native(random_world, max_episode_steps=4)
    envs.reset(seed=0)
    envs.step(moves(1)[0])
    twins = copy.deepcopy(envs), pickle.loads(pickle.dumps(envs))
    for actions in moves(10):
        told = envs.step(actions)
        for twin in twins:
            same(told, twin.step(actions))


def test_single_pictures_are_prompts_too(random_world: Path) -> None:
    envs, clips = native(random_world), native(random_world)
    same(
        envs.reset(seed=0, options={"frames": FRAMES[:, -1]}),
        clips.reset(seed=0, options={"frames": FRAMES[:, -1:]}),
    )
    same(envs.step(moves(1)[0]), clips.step(moves(1)[0]))


def test_render_gives_a_picture_a_row(random_world: Path) -> None:
    envs = native(random_world, render_mode="rgb_array", obs_type="tokens")
    rgb = native(random_world)
    envs.reset(seed=0)
    obs, _ = rgb.reset(seed=0)
    pictures = envs.render()
    assert isinstance(pictures, tuple) and len(pictures) == ROWS
    assert np.array_equal(np.stack(pictures), obs) and pictures[0].dtype == np.uint8
    assert native(random_world).render() is None
    envs.close(), envs.close()


@pytest.mark.parametrize(
    "actions",
    [
        np.zeros(ROWS - 1, int),
        np.zeros((ROWS, 1), int),
        np.full(ROWS, -1),
        np.full(ROWS, NUM_ACTIONS),
        np.zeros(ROWS),
        np.full(ROWS, np.nan),
        ["0"] * ROWS,
        0,
        None,
    ],
    ids=repr,
)
def test_bad_actions_are_named_and_change_nothing(random_world: Path, actions: Any) -> None:
    envs, twin = native(random_world), native(random_world)
    same(envs.reset(seed=0), twin.reset(seed=0))
    with pytest.raises(ValueError, match=f"actions: expected {ROWS} integers from 0 to 2"):
        envs.step(actions)
    same(envs.step(moves(1)[0]), twin.step(moves(1)[0]))


@pytest.mark.parametrize(
    ("reset", "message"),
    [
        ({"options": {"reset_mask": np.zeros(ROWS, bool)}}, "reset_mask.*True"),
        ({"options": {"reset_mask": np.ones(ROWS + 1, bool)}}, "reset_mask"),
        ({"options": {"reset_mask": np.ones(ROWS, int)}}, "reset_mask.*bool"),
        ({"options": {"mask": np.ones(ROWS, bool)}}, "'mask'"),
        ({"options": {"start": NUM_STARTS}}, "start"),
        ({"options": {"temperature": float("nan")}}, "temperature.*nan"),
        ({"options": {"frames": FRAMES[:2]}}, "frames.*5.*2"),
        ({"options": {"frames": FRAMES[0]}}, "frames.*5.*3"),
        ({"options": {"frames": FRAMES[0, 0]}}, "expected uint8"),
        ({"options": {"frames": FRAMES.astype(float)}}, "uint8.*float64"),
        ({"options": {"frames": FRAMES, "reset_mask": np.arange(ROWS) < 2}}, "frames.*2.*5"),
        ({"seed": [1, 2]}, "seed.*5 rows"),
        ({"seed": 1.5}, "seed.*1.5"),
        ({"seed": "abcde"}, "seed.*abcde"),
        ({"seed": [0, 1, 2, 3, -1]}, "seed.*-1"),
        ({"seed": [0, 1, 2, 3, 0.5]}, "seed.*0.5"),
        ({"seed": -3}, "seed.*-3"),
    ],
)
def test_refused_reset_is_named_and_changes_nothing(random_world: Path, reset: dict[str, Any], message: str) -> None:
    envs, twin = native(random_world), native(random_world)
    same(envs.reset(seed=0), twin.reset(seed=0))
    with pytest.raises(ValueError, match=message):
        envs.reset(**{"seed": 9, **reset})
    same(envs.step(moves(1)[0]), twin.step(moves(1)[0]))
    same(envs.reset(), twin.reset())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs.*0"),
        ({"num_envs": 2.0}, "num_envs.*2.0"),
        ({"num_envs": True}, "num_envs.*True"),
        ({"max_episode_steps": 0}, "max_episode_steps.*0"),
        ({"max_episode_steps": 1.5}, "max_episode_steps.*1.5"),
        ({"max_episode_steps": -2}, "max_episode_steps.*-2"),
        ({"autoreset_mode": "sometimes"}, "autoreset_mode.*NextStep.*sometimes"),
        ({"render_mode": "human"}, "render_mode.*human"),
        ({"temperature": -1}, "temperature.*-1"),
        ({"world": None}, "world: expected"),
    ],
)
def test_bad_option_is_named(random_world: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenieVectorEnv(**{"world": str(random_world), "num_envs": 2, **options})


@pytest.mark.parametrize("use", [lambda e: e.step(np.zeros(ROWS, int)), lambda e: e.snapshot()])
def test_nothing_can_be_done_before_the_first_reset(random_world: Path, use: Callable[[GenieVectorEnv], Any]) -> None:
    with pytest.raises(gym.error.ResetNeeded):
        use(native(random_world))
    with pytest.raises(gym.error.ResetNeeded):
        native(random_world).reset(options={"reset_mask": np.arange(ROWS) < 2})


def test_disabled_autoreset_refuses_to_step_rows_that_ended(random_world: Path) -> None:
    envs = native(random_world, autoreset_mode="Disabled", max_episode_steps=1)
    envs.reset(seed=0)
    envs.step(moves(1)[0])
    with pytest.raises(gym.error.ResetNeeded, match=r"rows \[0, 1, 2, 3, 4\]"):
        envs.step(moves(1)[0])
    envs.reset(options={"reset_mask": np.ones(ROWS, bool)})
    envs.step(moves(1)[0])


def test_registered_step_limit_is_the_vector_envs_own(random_world: Path) -> None:
    envs = native(random_world)
    assert envs.spec is not None and envs.spec.max_episode_steps == envs._max_steps == 27_000
    assert native(random_world, max_episode_steps=-1)._max_steps is None
    assert json.loads(envs.spec.to_json())["kwargs"]["world"] == str(random_world)
    same(envs.reset(seed=1)[0], gym.make_vec(envs.spec).reset(seed=1)[0])
    by_name = native(random_world, autoreset_mode="SameStep").spec
    assert by_name is not None
    again = gym.make_vec(EnvSpec.from_json(by_name.to_json()))
    assert again.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
