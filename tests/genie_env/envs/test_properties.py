"""Whatever a user passes: a typed error that changes nothing, or a valid step, and never anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genie_env.envs.env import GenieEnv
from genie_env.envs.options import ACTION_TYPES, OBS_TYPES
from genie_env.envs.vector_env import GenieVectorEnv
from tests.helpers.worlds import NUM_STARTS

# Derandomized: a run of the tests is the same everywhere and at any time.
PROPERTY = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
REFUSALS = (ValueError, TypeError, gym.error.Error)
ROWS = 2

odd = st.sampled_from([None, "much", -1, -0.5, float("nan"), float("inf"), True, [], {}, 1.5, 10**30, 10**400])
temperatures = st.one_of(st.none(), st.floats(0, 5), odd)
shares = st.one_of(st.floats(0, 1), odd)
options = st.fixed_dictionaries(
    {},
    optional={
        "temperature": temperatures,
        "top_p": shares,
        "decode_steps": st.one_of(st.integers(0, 4), odd),
        "action_diversity": shares,
        "diversity_window": st.one_of(st.integers(0, 9), odd),
        "action_type": st.one_of(st.sampled_from(ACTION_TYPES), odd),
        "obs_type": st.one_of(st.sampled_from(OBS_TYPES), odd),
        "device": st.one_of(st.sampled_from(["cpu", "auto"]), odd),
        "compile": st.one_of(st.just(False), odd.filter(lambda value: value is not True)),
        "render_mode": st.one_of(st.sampled_from([None, "rgb_array"]), odd),
        "volume": st.just(11),
    },
)
sizes = st.sampled_from([0, 1, 3, 63, 64, 65])
pictures = st.builds(
    lambda lead, height, width, colours, dtype, value: np.full((*lead, height, width, colours), value, dtype),
    st.sampled_from([(), (1,), (3,), (ROWS,), (ROWS, 1), (ROWS, 5), (0,)]),
    st.one_of(st.just(64), sizes),
    st.one_of(st.just(64), sizes),
    st.sampled_from([3, 3, 3, 1, 4]),
    st.sampled_from(["uint8", "uint8", "uint8", "float32", "int64"]),
    st.integers(0, 255),
)
resets = st.fixed_dictionaries(
    {},
    optional={
        "frames": st.one_of(pictures, odd),
        "start": st.one_of(st.integers(-2, NUM_STARTS + 1), odd),
        "temperature": temperatures,
        "action_diversity": shares,
        "reset_mask": st.one_of(st.lists(st.booleans(), max_size=3).map(np.array), odd),
        "strat": st.just(1),
    },
)
seeds = st.one_of(st.none(), st.integers(0, 2**31), st.lists(st.integers(0, 9), max_size=3), odd)
actions = st.one_of(st.integers(0, 2), st.integers(-3, 5), st.lists(st.integers(-1, 3), max_size=3), odd)
# Resets and steps in any order; a reset is (seed, options), a step an action.
plans = st.lists(
    st.one_of(st.tuples(seeds, st.one_of(st.none(), resets, odd)), actions.map(lambda action: (action,))), max_size=8
)


def same(one: Any, other: Any) -> bool:
    """Whether two results are equal, whatever they are made of."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and np.array_equal(one, other)


def attempt(env: Any, move: tuple[Any, ...]) -> Any:
    """The result of a reset or step, or the error that refused it; any other error fails the test."""
    try:
        if len(move) == 1:
            return env.step(move[0])
        return env.reset(seed=move[0], options=move[1])
    except REFUSALS as error:
        assert str(error).strip()
        return error


def is_valid(result: tuple[Any, ...], env: GenieEnv) -> bool:
    obs, *outcome, info = result
    fits = obs in env.observation_space and set(info) == {"action", "latent_action", "entropy", "step"}
    if not outcome:
        return fits
    reward, terminated, truncated = outcome
    fits = fits and type(reward) is float and type(terminated) is bool and truncated is False
    return fits and info["action"] in env.action_space and np.isfinite(info["entropy"])


@PROPERTY
@given(options)
def test_options_make_an_environment_or_are_refused(random_world: Path, options: dict[str, Any]) -> None:
    try:
        env = GenieEnv(str(random_world), **options)
        env.reset(seed=0)
    except REFUSALS as error:
        assert str(error).strip()
        return
    assert "volume" not in options
    assert is_valid(env.reset(seed=1), env) and is_valid(env.step(env.action_space.sample()), env)


@PROPERTY
@given(plans)
def test_environment_takes_any_order_of_anything(random_world: Path, plan: list[tuple[Any, ...]]) -> None:
    env, twin = GenieEnv(str(random_world)), GenieEnv(str(random_world))
    # Without a seed the two would differ by right, so both begin with one.
    for move in [(0, None), *plan, (0, None), (1,)]:
        result = attempt(env, move)
        if not isinstance(result, Exception):
            # The twin never hears of what was refused, and dreams the same.
            assert is_valid(result, env) and same(result, attempt(twin, move))


@PROPERTY
@given(plans, st.sampled_from(["NextStep", "SameStep", "Disabled"]))
def test_vector_environment_takes_any_order_of_anything(
    random_world: Path, plan: list[tuple[Any, ...]], mode: str
) -> None:
    made = [GenieVectorEnv(str(random_world), ROWS, max_episode_steps=3, autoreset_mode=mode) for _ in range(2)]
    for move in [(0, None), *plan, ([5, 6], None), (np.array([0, 2]),)]:
        result = attempt(made[0], move)
        if not isinstance(result, Exception):
            assert result[0] in made[0].observation_space and same(result, attempt(made[1], move))


def test_plans_reach_both_errors_and_valid_steps(random_world: Path) -> None:
    env, seen = GenieEnv(str(random_world)), set()

    @PROPERTY
    @given(plans)
    def look(plan: list[tuple[Any, ...]]) -> None:
        for move in plan:
            seen.add((len(move), isinstance(attempt(env, move), Exception)))

    look()
    assert seen == {(1, True), (1, False), (2, True), (2, False)}
