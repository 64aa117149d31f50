"""Options are described once, checked once, and stored as JSON knows them."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from genie_env.envs.env import GenieEnv
from genie_env.envs.options import EnvOptions, plain
from tests.helpers.options import field_docs, option_rows
from tests.helpers.paths import ROOT

ID = "Genie/World-v0"


class Kind(enum.Enum):
    TOKENS = "tokens"


ODD: dict[str, Any] = {
    "temperature": np.float32(0.5),
    "top_p": np.float64(0.75),
    "decode_steps": np.int64(2),
    "action_diversity": np.float16(0.25),
    "diversity_window": np.uint8(4),
    "obs_type": Kind.TOKENS,
    "compile": np.False_,
}


def test_every_option_is_described_alike_in_class_and_readme() -> None:
    assert list(field_docs(EnvOptions)) == [field.name for field in dataclasses.fields(EnvOptions)]
    documentation, readme = inspect.cleandoc(GenieEnv.__doc__ or ""), (ROOT / "README.md").read_text()
    assert [row for row in option_rows(EnvOptions, "``") if row not in documentation] == []
    assert [row for row in option_rows(EnvOptions, "`") if row not in readme] == []
    names = re.findall(r"^\| ``(\w+)`` \|", documentation, re.MULTILINE)
    assert names == ["world", *(field.name for field in dataclasses.fields(EnvOptions)), "render_mode"]


def test_numpy_scalars_enums_and_paths_make_the_same_environment_and_a_plain_spec(random_world: Path) -> None:
    env, usual = gym.make(ID, world=random_world, **ODD), gym.make(ID, world=str(random_world), **plain(ODD))
    assert env.spec is not None and usual.spec is not None
    assert env.spec.to_json() == usual.spec.to_json() and env.unwrapped.options == usual.unwrapped.options
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    for one in (env, usual, again):
        one.reset(seed=3)
    assert np.array_equal(env.step(1)[0], usual.step(1)[0])
    assert {type(value) for value in json.loads(env.spec.to_json())["kwargs"].values()} <= {str, int, float, bool}


def test_vector_spec_is_plain_too(random_world: Path) -> None:
    mode = AutoresetMode.SAME_STEP
    envs = gym.make_vec(ID, num_envs=3, world=random_world, autoreset_mode=mode, max_episode_steps=np.int64(9), **ODD)
    assert envs.spec is not None
    kwargs = json.loads(envs.spec.to_json())["kwargs"]
    assert kwargs["autoreset_mode"] == "SameStep" and kwargs["world"] == str(random_world)
    assert kwargs["max_episode_steps"] == 9 and kwargs["temperature"] == 0.5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (Kind.TOKENS, "tokens"),
        (Path("a") / "b", str(Path("a") / "b")),
        ({"a": (np.int8(1), [Kind.TOKENS])}, {"a": [1, ["tokens"]]}),
        (None, None),
    ],
)
def test_plain_values_are_those_of_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected and json.loads(json.dumps(plain(value))) == expected


def test_options_are_checked_where_they_are_made() -> None:
    with pytest.raises(ValueError, match=r"temperature: expected a number >= 0, got -1"):
        EnvOptions(temperature=-1)
    with pytest.raises(TypeError, match="temprature"):
        EnvOptions(temprature=1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        EnvOptions().temperature = 1.0
