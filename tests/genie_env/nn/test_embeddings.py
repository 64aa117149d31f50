"""First embeddings: alike tokens are near; tokens of the learned tokenizer are nearest to their neighbours."""

from __future__ import annotations

import math

import pytest
import torch

from genie_env.nn.embeddings import MOST_FUNCTIONS, half_whitened_components, smooth_functions
from genie_env.nn.quantize import FSQ

GRIDS = pytest.mark.parametrize("levels", [(8, 5, 4), (8, 8, 8, 8), (2,) * 12, (40,)], ids=str)


def test_rows_that_are_alike_have_components_that_are_alike() -> None:
    descriptors = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    descriptors[1] = descriptors[0] + 0.001
    found = half_whitened_components(descriptors, 6)
    assert found.shape == (20, 6) and abs(float(found.std()) - 1) < 1e-5
    distances = (found - found[0]).norm(dim=1)
    assert distances[1] < 0.02 and (distances[2:] > 0.3).all()


def test_there_are_no_more_components_than_directions() -> None:
    descriptors = torch.arange(10.0)[:, None].repeat(1, 5)
    assert half_whitened_components(descriptors, 4).shape == (10, 1)
    assert half_whitened_components(descriptors.byte(), 4).shape == (10, 1), "whole numbers will do"


def far(levels: tuple[int, ...]) -> torch.Tensor:
    """Differences of all tokens to the middle one: steps along the axes together, int [V]."""
    places_VL = FSQ(levels).from_tokens(torch.arange(math.prod(levels)))
    step_L = 2 / (torch.tensor(levels) - 1)
    middle_L = FSQ(levels).from_tokens(
        torch.tensor(sum(math.prod(levels[:i]) * (n // 2) for i, n in enumerate(levels)))
    )
    return ((places_VL - middle_L) / step_L).abs().sum(-1).round().int()


@GRIDS
def test_a_token_is_nearest_to_those_one_step_away(levels: tuple[int, ...]) -> None:
    embedded_VC = half_whitened_components(smooth_functions(levels), 64)
    steps_V = far(levels)
    distance_V = (embedded_VC - embedded_VC[steps_V.argmin()]).norm(dim=-1)
    by_steps = [distance_V[steps_V == steps].mean() for steps in range(4)]
    assert by_steps[0] == 0 and by_steps == sorted(by_steps)
    assert distance_V[steps_V == 1].max() < distance_V[steps_V > 3].min()


@GRIDS
def test_tokens_differ_and_are_described_by_few_numbers(levels: tuple[int, ...]) -> None:
    functions_VK = smooth_functions(levels)
    assert len(functions_VK.unique(dim=0)) == len(functions_VK) == math.prod(levels)
    assert functions_VK.shape[1] <= MOST_FUNCTIONS and functions_VK.abs().max() <= 1
