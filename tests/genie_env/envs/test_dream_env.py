"""What both environments share: settings that work or raise, and beginnings of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import FrameStackObservation, TransformReward
from gymnasium.wrappers.vector import TransformReward as TransformRewards

from genie_env.envs.vector_env import GenieVectorEnv
from genie_env.world import Prompts

ID = "Genie/World-v0"
ROWS = 3


def single(world: Path, **options: Any) -> gym.Env[Any, Any]:
    return gym.make(ID, world=str(world), **options)


def vector(world: Path, **options: Any) -> GenieVectorEnv:
    envs = gym.make_vec(ID, num_envs=ROWS, world=str(world), **options)
    assert isinstance(envs, GenieVectorEnv)
    return envs


def prompts(rows: int, value: int) -> Prompts:
    """Beginnings that all show the same frame."""
    return Prompts(torch.full((rows, 2, 64), value), torch.zeros(rows, 1, dtype=torch.long))


@pytest.mark.parametrize("name", ["temperature", "action_diversity", "show_hud"])
def test_setting_put_on_a_wrapper_raises_instead_of_being_lost(random_world: Path, name: str) -> None:
    env: Any = FrameStackObservation(single(random_world), 2)
    env.reset(seed=0)
    setattr(env, name, 0.0)
    message = rf"{name} was set on FrameStackObservation.*env\.unwrapped\.{name} = .*set_wrapper_attr\('{name}'"
    for use in (lambda: env.step(0), lambda: env.reset()):
        with pytest.raises(AttributeError, match=message):
            use()
    delattr(env, name)
    env.step(0)


def test_settings_reach_the_dream_through_every_wrapper(random_world: Path) -> None:
    env = TransformReward(FrameStackObservation(single(random_world), 2), float)
    env.set_wrapper_attr("temperature", 0.0)
    assert env.get_wrapper_attr("temperature") == env.unwrapped.temperature == 0.0
    cold = single(random_world, temperature=0.0)
    for _ in range(2):  # It stays set at the next reset.
        assert np.array_equal(env.reset(seed=1)[0][-1], cold.reset(seed=1)[0])
        for _ in range(5):
            assert np.array_equal(env.step(1)[0][-1], cold.step(1)[0])
    with pytest.raises(ValueError, match="temperature"):
        env.set_wrapper_attr("temperature", -1.0)


def test_settings_of_a_vector_environment_hold_for_all_rows_and_later_resets(random_world: Path) -> None:
    envs, cold = vector(random_world, max_episode_steps=4), vector(random_world, max_episode_steps=4, temperature=0.0)
    envs.temperature, envs.action_diversity = 0.0, 0.0
    assert np.array_equal(envs.reset(seed=0)[0], cold.reset(seed=0)[0])
    for _ in range(12):  # Rows restart in between.
        assert np.array_equal(envs.step(np.ones(ROWS, int))[0], cold.step(np.ones(ROWS, int))[0])
    envs.reset(options={"temperature": 0.5})
    assert envs.temperature == 0.5
    envs.reset()
    assert envs.temperature == 0.0


def test_setting_put_on_a_vector_wrapper_raises(random_world: Path) -> None:
    wrapped: Any = TransformRewards(vector(random_world), np.abs)
    wrapped.temperature = 0.0
    with pytest.raises(AttributeError, match="temperature was set on TransformReward"):
        wrapped.reset(seed=0)
    sync: Any = gym.make_vec(ID, num_envs=2, world=str(random_world), vectorization_mode="sync")
    sync.set_attr("temperature", 0.0)
    sync.reset(seed=0)
    assert sync.get_attr("temperature") == (0.0, 0.0)
    sync.temperature = 1.0
    with pytest.raises(AttributeError, match=r"SyncVectorEnv.*envs\.set_attr\('temperature'"):
        sync.step(np.zeros(2, int))


def test_wrapper_of_others_may_have_a_temperature_of_its_own(random_world: Path) -> None:
    class Cooling(gym.Wrapper):
        def __init__(self, env: gym.Env[Any, Any]) -> None:
            super().__init__(env)
            self.temperature = 1.0

        def step(self, action: Any) -> Any:
            self.temperature /= 2
            self.unwrapped.temperature = self.temperature
            return self.env.step(action)

    env = Cooling(single(random_world))
    env.reset(seed=0)
    env.step(0)
    assert env.unwrapped.temperature == 0.5


@pytest.mark.parametrize("make", [single, vector])
def test_unknown_attribute_raises(random_world: Path, make: Any) -> None:
    env = make(random_world).unwrapped
    with pytest.raises(AttributeError, match="no attribute 'temprature'"):
        env.temprature = 0.0
    for name in ("world", "counts") if make is single else ("world",):
        with pytest.raises(AttributeError):
            setattr(env, name, None)


def test_missing_world_is_what_gymnasium_calls_a_missing_argument() -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(gym.error.MissingArgument, match=r"world: expected a bundled name or a folder"):
            make(ID)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_given_starts_are_drawn_from_until_others_are_given(random_world: Path, mode: str) -> None:
    envs = vector(random_world, obs_type="tokens", max_episode_steps=1, autoreset_mode=mode)
    envs.reset(seed=0, options={"starts": prompts(4, 7)})
    for _ in range(4):
        obs, *_, infos = envs.step(np.zeros(ROWS, int))
        restarted = infos["step"] == 0
        assert (obs[restarted] == 7).all()
    assert (envs.reset()[0] == 7).all() and (envs.reset(options={"start": 3})[0] == 7).all()
    assert (envs.reset(options={"starts": prompts(2, 9)})[0] == 9).all()
    assert not (envs.reset(options={"starts": None})[0] == 9).all(), "None gives back the world's own"


def test_given_starts_go_with_snapshots_and_leave_the_world_alone(random_world: Path) -> None:
    env: Any = single(random_world, obs_type="tokens").unwrapped
    own = env.world.starts
    env.reset(seed=0, options={"starts": prompts(2, 5)})
    place = env.snapshot()
    env.reset(options={"starts": None})
    env.restore(place)
    assert (env.reset()[0] == 5).all() and env.world.starts is own


def test_refused_starts_change_nothing(random_world: Path) -> None:
    envs = vector(random_world, obs_type="tokens")
    before = envs.reset(seed=0)[0]
    for starts in ("beginning", prompts(2, 10**6), Prompts(torch.zeros(1, 1, 3, dtype=torch.long), torch.zeros(1, 0))):
        with pytest.raises(ValueError, match="starts: expected"):
            envs.reset(options={"starts": starts})
    with pytest.raises(ValueError, match="start: expected an integer from 0 to 1"):
        envs.reset(options={"starts": prompts(2, 1), "start": 2})
    assert np.array_equal(envs.reset(seed=0)[0], before)


def test_environment_without_a_window_imports_no_pygame(random_world: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, gymnasium as gym, genie_env\n"
        "env = gym.make('Genie/World-v0', world=sys.argv[1], render_mode='rgb_array')\n"
        "env.reset(seed=0), env.step(0), env.render()\n"
        "env.unwrapped.get_keys_to_action()\n"
        "loaded = {name for name in sys.modules if name.startswith(('pygame', 'genie_env.window.r'))}\n"
        "print(sorted(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(random_world)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
