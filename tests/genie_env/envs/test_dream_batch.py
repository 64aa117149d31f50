"""A batch of dreams searches only where nothing that it was asked for would be lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genie_env.bundle import read_config
from genie_env.envs.dream_batch import DreamBatch
from genie_env.envs.options import EnvOptions


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"runtime": "torch", "max_uncertainty": 0.5}, "beam: expected no max_uncertainty"),
        ({"runtime": "torch", "uncertainty_penalty": 0.5}, "beam: expected no max_uncertainty"),
    ],
)
def test_beam_refuses_what_it_does_not_look_at(options: dict[str, Any], named: str, ensemble_world: Path) -> None:
    refused(ensemble_world, EnvOptions(**options), named)


def test_beam_refuses_onnxruntime(random_world: Path) -> None:
    refused(random_world, EnvOptions(runtime="onnx"), "beam: expected runtime 'torch', got 'onnx'")


def refused(world: Path, options: EnvOptions, named: str) -> None:
    config = read_config(world)
    dreams = DreamBatch(str(world), config, options.resolved(config), 2)
    dreams.reset_rows(np.arange(2), [np.random.default_rng(row) for row in range(2)], {})
    before = dreams.frames()
    with pytest.raises(ValueError, match=named):
        dreams.roll(np.zeros((2, 3), dtype=np.int64), 2)
    assert np.array_equal(dreams.frames(), before)
