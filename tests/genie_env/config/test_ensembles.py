"""The settings of an ensemble: checked, read back as they were, and absent from worlds that have none."""

from __future__ import annotations

from typing import Any

import pytest

from genie_env.config import DynamicsConfig, DynamicsShape, EnsembleConfig, EnsembleShape
from tests.helpers.worlds import ensemble_config, random_config


def test_json_names_the_kind_and_comes_back_as_it() -> None:
    config = ensemble_config(members=4, member_kind="heads")
    read = DynamicsConfig.from_json(config.to_json())
    assert read == config and isinstance(read, EnsembleConfig) and read.member == random_config().dynamics
    shape = DynamicsShape.from_json({"kind": "ensemble", "members": 5})
    assert isinstance(shape, EnsembleShape) and shape.members == 5 and shape.num_trunks == 5


def test_a_single_dynamics_is_written_as_ever() -> None:
    assert not {"members", "member_kind"} & set(random_config().dynamics.to_json())
    assert random_config().members == 1 and random_config(dynamics=ensemble_config()).members == 3


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"members": 1}, "members: expected an integer from 2 to 16, got 1"),
        ({"members": 17}, "members: expected an integer from 2 to 16, got 17"),
        ({"members": True}, "EnsembleConfig.members: expected int"),
        ({"member_kind": "layers"}, r"expected one of \['networks', 'heads'\], got 'layers'"),
        ({"members": 16, "num_layers": 16}, "members: expected at most 128 blocks in all of them, got 272"),
        ({"members": 16, "window": 4096, "width": 128, "num_layers": 4}, "dynamics: past of all members"),
    ],
)
def test_what_cannot_be_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ensemble_config(**fields)


def test_a_single_dynamics_takes_no_members() -> None:
    with pytest.raises(ValueError, match=r"unknown fields \['members'\]"):
        DynamicsConfig.from_json({"members": 2})
