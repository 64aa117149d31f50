"""The single environment keeps every promise that Gymnasium and stable-baselines3 make, and its own."""

from __future__ import annotations

import copy
import functools
import inspect
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3.common.env_checker as sb3
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

import genie_env
from genie_env.bundle import bundled_worlds
from genie_env.envs.env import GenieEnv
from genie_env.frames import to_gray
from genie_env.registration import ANY, BUNDLED
from genie_env.window.hud import Hud
from genie_env.window.keyboard import key_code
from genie_env.window.renderer import Renderer
from tests.helpers.paths import ROOT
from tests.helpers.worlds import (
    NUM_ACTIONS,
    NUM_STARTS,
    REAL_TO_LATENT,
    TELLING_CHANGES,
    VOCAB,
    fingerprint,
    make_random_world,
)

ID = "Genie/World-v0"
FRAMES = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)


def make(world: Path, **options: Any) -> GenieEnv:
    env = gym.make(ID, world=str(world), **options).unwrapped
    assert isinstance(env, GenieEnv)
    return env


def actions(steps: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(NUM_ACTIONS, size=steps).tolist()


def play(env: gym.Env[Any, Any], steps: int, seed: int = 0) -> list[Any]:
    """What ``steps`` random steps bring, as plain comparable values."""
    told = []
    for action in actions(steps, seed):
        obs, reward, terminated, truncated, info = env.step(action)
        told.append((obs.tobytes(), reward, terminated, truncated, info))
    return told


def dream(env: gym.Env[Any, Any], steps: int = 20, **reset: Any) -> list[Any]:
    obs, info = env.reset(**reset)
    return [(obs.tobytes(), info), *play(env, steps)]


@pytest.mark.parametrize("render_mode", [None, "rgb_array", "human"])
@pytest.mark.parametrize(("obs_type", "action_type"), list(product(["rgb", "grayscale", "tokens"], ["real", "latent"])))
def test_environment_passes_both_checkers(
    random_world: Path, obs_type: str, action_type: str, render_mode: str | None
) -> None:
    options = {"obs_type": obs_type, "action_type": action_type, "render_mode": render_mode}
    check_env(make(random_world, **options))
    env = make(random_world, **options)
    sb3.check_env(env, skip_render_check=False)
    env.close()
    env.close()


ELSEWHERE = {"Genie/Remote-v0", "Genie/Cluster-v0", "Genie/Game-v0"}
"""Ids of worlds on other machines and of real games, which have tests of their own."""
IDS = sorted(env_id for env_id in gym.registry if env_id.startswith("Genie/") and env_id not in ELSEWHERE)


@pytest.mark.parametrize("obs_type", ["rgb", "grayscale", "tokens"])
@pytest.mark.parametrize("env_id", [env_id for env_id in IDS if env_id != ID])
def test_bundled_worlds_pass_both_checkers(env_id: str, obs_type: str) -> None:
    check_env(gym.make(env_id, obs_type=obs_type, render_mode="rgb_array").unwrapped)
    sb3.check_env(gym.make(env_id, obs_type=obs_type).unwrapped)


def test_every_bundled_world_has_an_id() -> None:
    assert sorted(BUNDLED.values()) == bundled_worlds()
    assert {*BUNDLED, ANY} == set(IDS) and ANY == ID


@pytest.mark.parametrize("env_id", IDS)
def test_registered_ids_have_plain_settings_and_a_step_limit(env_id: str) -> None:
    spec = gym.spec(env_id)
    assert json.loads(json.dumps(spec.kwargs)) == spec.kwargs
    assert isinstance(spec.entry_point, str) and isinstance(spec.vector_entry_point, str)
    assert spec.max_episode_steps == 27_000 and not spec.nondeterministic
    genie_env.register_envs()
    assert gym.spec(env_id) is spec


def test_same_seed_and_actions_give_the_same_dream(random_world: Path) -> None:
    one, other = make(random_world), make(random_world)
    first = dream(one, 40, seed=3)
    assert first == dream(other, 40, seed=3)
    # What happened before a seeded reset leaves no trace.
    play(one, 7, seed=1)
    assert first == dream(one, 40, seed=3)
    assert first != dream(one, 40, seed=4)


def test_unseeded_resets_go_on_with_the_generator(random_world: Path) -> None:
    one, other = make(random_world), make(random_world)
    for env in (one, other):
        env.reset(seed=5)
    for steps in (3, 0, 11):
        assert dream(one, steps) == dream(other, steps)
    assert dream(one, 5) != dream(one, 5)


def test_dream_is_the_same_in_a_new_process(random_world: Path) -> None:
    code = "import sys; from tests.helpers.worlds import fingerprint; print(fingerprint(sys.argv[1]))"
    command = [sys.executable, "-W", "error", "-c", code, str(random_world)]
    there = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert there.returncode == 0, there.stderr
    assert there.stdout.strip() == fingerprint(random_world)


def test_environment_leaves_the_global_generators_alone(random_world: Path) -> None:
    def states() -> tuple[Any, ...]:
        name, keys, *rest = np.random.get_state()
        return random.getstate(), (name, keys.tobytes(), *rest), torch.get_rng_state().numpy().tobytes()

    before = states()
    env = make(random_world, action_diversity=0.5)
    dream(env, 10, seed=1)
    dream(env, 10, options={"frames": FRAMES})
    assert states() == before


def test_weights_are_loaded_at_the_first_reset_only(random_world: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(random_world, tmp_path / "world"))
    (folder / "dynamics.safetensors").unlink()
    env = make(folder)
    assert env.action_space.n == NUM_ACTIONS and env.get_action_meanings() == ["NOOP", "UP", "DOWN"]
    with pytest.raises(ValueError, match=r"dynamics\.safetensors: missing"):
        env.reset(seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, r"temperature.*-1"),
        ({"temperature": float("nan")}, r"temperature.*nan"),
        ({"temperature": "hot"}, r"temperature.*'hot'"),
        ({"top_p": 0}, r"top_p.*0"),
        ({"action_diversity": 1.5}, r"action_diversity.*1\.5"),
        ({"diversity_window": 0}, r"diversity_window.*0"),
        ({"decode_steps": 0}, r"decode_steps.*0"),
        ({"decode_steps": 65}, r"decode_steps.*from 1 to 64.*65"),
        ({"diversity_window": 10**30}, r"diversity_window.*from 1 to 1000"),
        ({"compile": "yes"}, r"compile.*'yes'"),
        ({"device": None}, r"device.*None"),
        ({"obs_type": []}, r"obs_type.*\[\]"),
        ({"action_type": "imagined"}, r"action_type.*'imagined'"),
        ({"obs_type": "sound"}, r"obs_type.*'sound'"),
        ({"render_mode": "ansi"}, r"render_mode.*'ansi'|ansi"),
        ({"world": "no_such_world"}, r"no_such_world"),
        ({"world": None}, r"world: expected"),
    ],
)
def test_bad_option_is_a_value_error_that_names_it(random_world: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenieEnv(**{"world": str(random_world), **options})


def test_unknown_option_is_a_type_error_that_names_it(random_world: Path) -> None:
    with pytest.raises(TypeError, match="temprature"):
        gym.make(ID, world=str(random_world), temprature=1.0)


@pytest.mark.parametrize("device", ["abacus", "cuda:99", ""])
def test_unknown_device_is_named(random_world: Path, device: str) -> None:
    with pytest.raises(ValueError, match=f"device.*{device!r}"):
        make(random_world, device=device).reset(seed=0)


@pytest.mark.parametrize("action", [-1, 3, 1.0, 1.5, "1", None, float("nan"), [1], np.array([1]), np.float32(1)])
def test_action_outside_the_space_is_named_and_changes_nothing(random_world: Path, action: Any) -> None:
    env, twin = make(random_world), make(random_world)
    assert dream(env, 3, seed=0) == dream(twin, 3, seed=0)
    with pytest.raises(ValueError, match=r"action.*Discrete\(3\)"):
        env.step(action)
    assert play(env, 5) == play(twin, 5)


BAD_RESETS: list[tuple[dict[str, Any], str]] = [
    ({"strat": 1}, r"'strat'"),
    ({"start": -1}, r"start.*-1"),
    ({"start": NUM_STARTS}, rf"start.*{NUM_STARTS}"),
    ({"start": 0.0}, r"start.*0\.0"),
    ({"start": True}, r"start.*True"),
    ({"start": "0"}, r"start.*'0'"),
    ({"temperature": -0.5}, r"temperature.*-0\.5"),
    ({"temperature": None}, r"temperature.*None"),
    ({"temperature": float("inf")}, r"temperature.*inf"),
    ({"action_diversity": 2}, r"action_diversity.*2"),
    ({"frames": FRAMES.astype(np.float32)}, r"uint8.*float32"),
    ({"frames": FRAMES.astype(np.int64)}, r"uint8.*int64"),
    ({"frames": FRAMES[:, :32]}, r"64x64x3.*32"),
    ({"frames": FRAMES[..., :1]}, r"64x64x3"),
    ({"frames": FRAMES[None]}, r"expected uint8"),
    ({"frames": FRAMES[:0]}, r"expected uint8"),
    ({"frames": FRAMES[0, 0]}, r"expected uint8"),
    ({"frames": "clip.mp4"}, r"expected uint8"),
    ({"frames": [[1, 2], [3]]}, r".*"),
]


@pytest.mark.parametrize(("options", "message"), BAD_RESETS, ids=[next(iter(o)) + m[:24] for o, m in BAD_RESETS])
def test_refused_reset_is_named_and_changes_nothing(random_world: Path, options: dict[str, Any], message: str) -> None:
    env, twin = make(random_world), make(random_world)
    assert dream(env, 3, seed=0) == dream(twin, 3, seed=0)
    for seed in (None, 77):
        with pytest.raises(ValueError, match=message):
            env.reset(seed=seed, options=options)
    assert play(env, 5) == play(twin, 5)
    assert dream(env, 3) == dream(twin, 3), "the next unseeded reset is that of an undisturbed environment"


def test_options_of_another_type_are_refused(random_world: Path) -> None:
    with pytest.raises((ValueError, TypeError)):
        make(random_world).reset(options=5)


def test_first_reset_may_be_refused_too(random_world: Path) -> None:
    env, twin = make(random_world), make(random_world)
    with pytest.raises(ValueError, match="start"):
        env.reset(seed=0, options={"start": 99})
    assert dream(env, 5, seed=2) == dream(twin, 5, seed=2)


@pytest.mark.parametrize("use", [lambda e: e.step(0), lambda e: e.snapshot(), lambda e: e._dreams.frames()])
def test_nothing_can_be_done_before_the_first_reset(random_world: Path, use: Callable[[GenieEnv], Any]) -> None:
    with pytest.raises(gym.error.ResetNeeded):
        use(make(random_world))


@pytest.mark.parametrize("frames", [FRAMES, FRAMES[:1], FRAMES[0], torch.from_numpy(FRAMES), FRAMES[::2, ::-1]])
def test_prompted_dream_begins_with_the_prompts_last_frame(random_world: Path, frames: Any) -> None:
    env = make(random_world)
    kept = copy.deepcopy(frames)
    obs, info = env.reset(seed=0, options={"frames": frames})
    last = np.asarray(frames[-1] if frames.ndim == 4 else frames)
    assert np.array_equal(obs, env.world.decode(env.world.encode(last[None, None]))[0, 0].numpy())
    assert info == {"action": -1, "latent_action": -1, "entropy": 0.0, "step": 0}
    assert np.array_equal(frames, kept)


def test_prompt_is_remembered_beyond_its_last_frame(random_world: Path) -> None:
    env = make(random_world, temperature=0.0)
    other = FRAMES.copy()
    other[-2] = 255 - other[-2]
    dreams = [dream(env, 3, seed=0, options={"frames": frames}) for frames in (FRAMES, other)]
    assert dreams[0][0] == dreams[1][0] and dreams[0][1:] != dreams[1][1:]


@pytest.mark.parametrize("start", [0, NUM_STARTS - 1, np.int64(2)])
def test_start_option_picks_a_recorded_beginning(random_world: Path, start: int) -> None:
    env = make(random_world, obs_type="tokens")
    obs, _ = env.reset(seed=0, options={"start": start})
    assert np.array_equal(obs, env.world.starts.tokens_SPN[start, -1].numpy())


def test_every_recorded_beginning_is_drawn(random_world: Path) -> None:
    env = make(random_world, obs_type="tokens")
    env.reset(seed=0)
    assert len({env.reset()[0].tobytes() for _ in range(60)}) == NUM_STARTS


def test_episode_options_hold_for_one_episode(random_world: Path) -> None:
    env, cold = make(random_world), make(random_world, temperature=0.0, action_diversity=1.0)
    options = {"temperature": 0.0, "action_diversity": 1.0}
    assert dream(env, seed=1, options=options) == dream(cold, seed=1)
    assert env.temperature == 0.0 and env.action_diversity == 1.0
    assert dream(env, seed=1) != dream(cold, seed=1)
    assert env.temperature == 1.0 and env.action_diversity == 0.0
    assert options == {"temperature": 0.0, "action_diversity": 1.0}


def test_temperature_and_diversity_may_be_set_while_it_dreams(random_world: Path) -> None:
    env, cold = make(random_world), make(random_world, temperature=0.0)
    env.reset(seed=1)
    env.temperature, env.action_diversity = 0.0, 0.0
    cold.reset(seed=1)
    assert play(env, 10) == play(cold, 10)
    for value in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="temperature"):
            env.temperature = value
        with pytest.raises(ValueError, match="action_diversity"):
            env.action_diversity = value
    assert env.temperature == 0.0 and env.action_diversity == 0.0


def test_real_action_plays_the_latent_one_it_maps_to(random_world: Path) -> None:
    real, latent = make(random_world), make(random_world, action_type="latent")
    assert latent.get_action_meanings() == ["LATENT_0(DOWN)", "LATENT_1(NOOP)", "LATENT_2(UP)"]
    up, down = (key_code("up"),), (key_code("down"),)
    assert real.get_keys_to_action() == {up: 1, down: 2}
    assert latent.get_keys_to_action() == {up: REAL_TO_LATENT[1], down: REAL_TO_LATENT[2]}
    assert real.noop_action == 0 and latent.noop_action == REAL_TO_LATENT[0]
    assert np.array_equal(real.reset(seed=0)[0], latent.reset(seed=0)[0])
    for step, action in enumerate(actions(20)):
        obs, *outcome, info = real.step(action)
        assert info["action"] == action and info["latent_action"] == REAL_TO_LATENT[action] and info["step"] == step + 1
        same_obs, *same_outcome, same_info = latent.step(REAL_TO_LATENT[action])
        assert np.array_equal(obs, same_obs) and outcome == same_outcome
        assert same_info == {**info, "action": REAL_TO_LATENT[action]}


def test_real_action_becomes_the_change_from_the_one_executed_before(tmp_path: Path) -> None:
    env = make(make_random_world(tmp_path / "world", action_map=TELLING_CHANGES))
    for _ in range(2):  # A reset forgets what was played before.
        env.reset(seed=0)
        latent = [env.step(action)[-1]["latent_action"] for action in (1, 1, 2)]
        assert latent == [1, 0, 1]
        place = env.snapshot()
        assert env.step(0)[-1]["latent_action"] == 1
        assert env.step(0)[-1]["latent_action"] == 0
        env.restore(place)
        assert env.step(2)[-1]["latent_action"] == 0
    # Diversity replaces actions; what counts is the action that was executed.
    env.reset(seed=0, options={"action_diversity": 1.0})
    before = 0
    for _ in range(20):
        info = env.step(0)[-1]
        assert info["latent_action"] == (info["action"] - before) % 3
        before = info["action"]


def test_world_without_a_map_has_latent_actions(tmp_path: Path) -> None:
    env = make(make_random_world(tmp_path / "world", action_map=None))
    assert env.options.action_type == "latent" and env.get_action_meanings() == ["LATENT_0", "LATENT_1", "LATENT_2"]
    assert env.get_keys_to_action() == {(key_code(str(i + 1)),): i for i in range(3)} and env.noop_action == 0
    with pytest.raises(ValueError, match=r"action_type.*no action map"):
        make(tmp_path / "world", action_type="real")


def test_diversity_replaces_actions_by_the_least_used_of_the_last_ones(random_world: Path) -> None:
    env = make(random_world, action_diversity=1.0, diversity_window=4)
    for _ in range(2):  # A reset forgets what was played before.
        env.reset(seed=0)
        recent: list[int] = []
        for _ in range(40):
            executed = env.step(0)[-1]["action"]
            counts = [recent[-4:].count(action) for action in range(NUM_ACTIONS)]
            assert counts[executed] == min(counts)
            recent.append(executed)


def test_observation_types_show_the_same_dream(random_world: Path) -> None:
    rgb, gray, tokens = (make(random_world, obs_type=kind) for kind in ("rgb", "grayscale", "tokens"))
    for step in range(10):
        seen = [env.reset(seed=4)[0] if step == 0 else env.step(step % 3)[0] for env in (rgb, gray, tokens)]
        assert np.array_equal(seen[1], to_gray(seen[0])) and seen[1].shape == (64, 64, 1)
        drawn = tokens.world.decode(torch.from_numpy(seen[2])[None, None])[0, 0]
        assert np.array_equal(drawn.numpy(), seen[0]) and seen[2].dtype == np.int64 and seen[2].max() < VOCAB


@pytest.mark.parametrize("obs_type", ["rgb", "grayscale", "tokens"])
def test_rendered_picture_is_the_present_frame(random_world: Path, obs_type: str) -> None:
    env = make(random_world, obs_type=obs_type, render_mode="rgb_array")
    rgb = make(random_world)
    env.reset(seed=0), rgb.reset(seed=0)
    for action in actions(5):
        env.step(action)
        frame = env.render()
        assert np.array_equal(frame, rgb.step(action)[0])
    # `gymnasium.utils.play` takes whole numbers only.
    assert env.metadata["render_fps"] == 30 and type(env.metadata["render_fps"]) is int
    frame[:] = 0
    assert env.render().any()


def test_render_without_a_mode_warns(random_world: Path) -> None:
    env = make(random_world)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_values_have_exactly_the_types_gymnasium_asks_for(random_world: Path) -> None:
    env = make(random_world)
    obs, info = env.reset(seed=0)
    for action in (np.int64(1), 1, np.array(2)):
        new, reward, terminated, truncated, info = env.step(action)
        assert new.dtype == np.uint8 and new.flags.owndata is not None and not np.shares_memory(new, obs)
        assert type(reward) is float and reward in (-1.0, 0.0, 1.0)
        assert type(terminated) is bool and truncated is False
        assert {key: type(value) for key, value in info.items()} == {
            "action": int,
            "latent_action": int,
            "entropy": float,
            "step": int,
        }
        obs = new
    assert env.observation_space.contains(obs) and info["entropy"] > 0


def test_what_a_user_does_to_an_observation_or_info_stays_his_own(random_world: Path) -> None:
    env, twin = make(random_world), make(random_world)
    obs, info = env.reset(seed=0)
    twin.reset(seed=0)
    for action in actions(5):
        obs[:] = 0
        info.clear()
        obs, *_, info = env.step(action)
        kept = obs.copy()
        assert np.array_equal(obs, twin.step(action)[0])
        env.step(0), twin.step(0)
        assert np.array_equal(obs, kept)


@pytest.mark.parametrize("options", [{}, {"decode_steps": 3, "action_diversity": 0.5, "top_p": 0.8}])
def test_restored_snapshot_replays_exactly(random_world: Path, options: dict[str, Any]) -> None:
    env = make(random_world, **options)
    dream(env, 6, seed=0)
    saved = env.snapshot()
    futures = []
    for _ in range(3):  # A snapshot serves any number of times, and reaches over the next reset.
        futures.append([*play(env, 8, seed=2), *dream(env, 8)])
        env.restore(saved)
    assert futures[0] == futures[1] == futures[2]
    other = make(random_world, **options)
    other.restore(saved)
    assert [*play(other, 8, seed=2), *dream(other, 8)] == futures[0]


def test_branches_of_a_snapshot_do_not_hear_each_other(random_world: Path) -> None:
    env = make(random_world, obs_type="tokens")
    env.reset(seed=0)
    saved = env.snapshot()
    ends = set()
    for action in range(NUM_ACTIONS):
        env.restore(saved)
        ends.add(env.step(action)[0].tobytes())
    assert len(ends) == NUM_ACTIONS


def test_restored_environment_shows_itself_even_before_a_reset(random_world: Path) -> None:
    env, fresh = make(random_world), make(random_world, render_mode="human")
    dream(env, 3, seed=0)
    fresh.restore(env.snapshot())
    fresh.render()
    assert play(fresh, 3) == play(env, 3)
    fresh.close()


def test_snapshot_of_something_else_is_refused_and_changes_nothing(random_world: Path, tmp_path: Path) -> None:
    env, twin = make(random_world), make(random_world)
    envs: Any = gym.make_vec(ID, num_envs=2, world=str(random_world)).unwrapped
    window = make(random_world, diversity_window=3)
    elsewhere = make(make_random_world(tmp_path / "other", name="other"))
    for each in (env, twin, envs, window, elsewhere):
        each.reset(seed=0)
    for state in (envs.snapshot()[0], envs.snapshot(), window.snapshot(), elsewhere.snapshot(), None, 3):
        with pytest.raises(ValueError, match="snapshot: expected"):
            env.restore(state)
    for state in (env.snapshot(), (env.snapshot(), np.zeros(2, bool)), None):
        with pytest.raises(ValueError, match="snapshot: expected"):
            envs.restore(state)
    assert play(env, 2) == play(twin, 2)


def test_spec_survives_json_and_makes_the_same_environment(random_world: Path) -> None:
    env = gym.make(ID, world=str(random_world), temperature=0.5, obs_type="tokens", max_episode_steps=9)
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec
    assert dream(again, 9, seed=1) == dream(env, 9, seed=1)
    assert again.step(0)[3] is True


def test_environment_travels_by_its_spec(random_world: Path) -> None:
    env = gym.make(ID, world=str(random_world), action_diversity=0.5)
    spec = pickle.loads(pickle.dumps(env.spec))
    assert dream(gym.make(spec), 9, seed=1) == dream(env, 9, seed=1)


@pytest.mark.parametrize("begun", [False, True])
def test_pickled_environment_goes_on_alike_and_carries_no_weights(random_world: Path, begun: bool) -> None:
    env = make(random_world, action_diversity=0.3, render_mode="human")
    if begun:
        dream(env, 3, seed=0)
    content = pickle.dumps(env)
    assert len(content) < (random_world / "dynamics.safetensors").stat().st_size
    twin = pickle.loads(content)
    if begun:
        assert play(twin, 6) == play(env, 6)
        assert dream(twin, 6) == dream(env, 6)
    assert dream(twin, 6, seed=1) == dream(env, 6, seed=1)
    env.close(), twin.close()


def test_wrapped_environment_pickles_and_copies_too(random_world: Path) -> None:
    env = gym.wrappers.FrameStackObservation(gym.make(ID, world=str(random_world), max_episode_steps=6), 2)
    dream(env, 3, seed=0)
    twins = pickle.loads(pickle.dumps(env)), copy.deepcopy(env)
    future = play(env, 3)
    assert future[-1][3] is True and all(play(twin, 3) == future for twin in twins)


def test_deep_copy_goes_on_alike_and_independently_and_shares_the_weights(random_world: Path) -> None:
    env = make(random_world, action_diversity=0.3)
    dream(env, 5, seed=0)
    twin, spare = copy.deepcopy(env), copy.deepcopy(env)
    assert twin.world is env.world
    future = [*play(env, 8), *dream(env, 8)]
    assert [*play(twin, 8), *dream(twin, 8)] == future
    assert [*play(spare, 8), *dream(spare, 8)] == future


@pytest.mark.parametrize(
    "section",
    [
        "Description",
        "Action Space",
        "Observation Space",
        "Rewards",
        "Starting State",
        "Episode End",
        "Information",
        "Arguments",
        "Vectorized environment",
        "Version History",
    ],
)
def test_class_says_what_gymnasiums_classes_say(section: str) -> None:
    assert f"## {section}\n" in inspect.cleandoc(GenieEnv.__doc__ or "")


def test_compiled_step_dreams_the_same(random_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tracing is torch.compile's own; its code generation would take half a minute.
    trace = functools.partial(torch.compile, backend="eager", dynamic=False)
    monkeypatch.setattr(torch, "compile", lambda step, **_: trace(step))
    options = {"obs_type": "tokens", "temperature": 0.0}
    env, compiled = make(random_world, **options), make(random_world, **options, compile=True)

    def assert_same(ours: list[Any], theirs: list[Any]) -> None:
        """But for the last digits of entropies: what is to be compiled is written otherwise in places."""
        entropies = [[info.pop("entropy") for *_, info in told] for told in (ours, theirs)]
        assert ours == theirs
        np.testing.assert_allclose(*entropies, rtol=1e-4)

    assert_same(dream(env, 5, seed=0), dream(compiled, 5, seed=0))
    assert_same(dream(env, 3), dream(compiled, 3))
    assert_same(play(copy.deepcopy(compiled), 3), play(env, 3))


def test_failing_compiler_is_named_with_the_way_out(random_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(*_: Any) -> None:
        raise torch._dynamo.exc.InternalTorchDynamoError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda _step, **_: no_compiler)
    env = make(random_world, compile=True)
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"compile=False.*no C\+\+ compiler"):
        env.step(0)


def test_compiler_without_a_cache_it_can_write_is_named_with_the_way_out(random_world: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("where the folder should be")
    code = (
        "import sys, gymnasium as gym, genie_env\n"
        "env = gym.make('Genie/World-v0', world=sys.argv[1], compile=True)\n"
        "env.reset(seed=0)\n"
        "try: env.step(0)\n"
        "except RuntimeError as error: print(type(error).__name__, error)"
    )
    where = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(blocked / "cache")}
    command = [sys.executable, "-c", code, str(random_world)]
    done = subprocess.run(command, env=where, capture_output=True, text=True, check=False)
    assert re.match(r"CompileError compile: .*TORCHINDUCTOR_CACHE_DIR.*or use compile=False", done.stdout), done.stderr


def test_shown_bar_tells_the_episode_and_can_be_switched_off(
    random_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huds: list[Hud | None] = []
    monkeypatch.setattr(Renderer, "draw", lambda self, frame, hud=None: huds.append(hud))
    env = make(random_world, render_mode="human", action_diversity=0.25)
    env.reset(seed=0), env.reset()
    _, reward, _, _, info = env.step(1)
    env.show_hud = False
    env.step(1)
    first, *_, told, nothing = huds
    assert first is not None and first.episode == 1 and first.action == "–"
    assert nothing is None and told is not None and {label for label, _ in told.cells()} == {
        "episode", "step", "reward", "total", "action", "temperature", "diversity", "entropy", "fps",
    }  # fmt: skip
    assert (told.episode, told.step, told.reward, told.entropy) == (2, 1, reward, info["entropy"])
    assert told.action == env.get_action_meanings()[info["action"]] and told.action_diversity == 0.25
    assert told.fps is not None and 0 < told.fps <= 31
    env.close()


def test_figures_of_the_bar_go_back_with_the_dream(random_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huds: list[Hud] = []
    monkeypatch.setattr(Renderer, "draw", lambda self, frame, hud=None: huds.append(hud))
    env = make(random_world, render_mode="human")
    env.reset(seed=0)
    play(env, 3)
    env.render()
    place, there = env.snapshot(), huds[-1]
    play(env, 8)
    env.reset()
    env.restore(place)
    env.render()
    back = huds[-1]
    same = ("episode", "step", "reward", "total", "action", "entropy")
    assert [getattr(back, name) for name in same] == [getattr(there, name) for name in same] and back.step == 3
    play(env, 2)
    assert huds[-1].step == 5 and huds[-1].episode == 1
    env.close()


def test_step_limit_truncates(random_world: Path) -> None:
    env = gym.make(ID, world=str(random_world), max_episode_steps=4)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(4)] == [False, False, False, True]


def test_step_leaves_the_number_of_torch_threads_as_it_was(random_world: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        env = gym.make("Genie/World-v0", world=str(random_world))
        env.reset(seed=0)
        env.step(0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
