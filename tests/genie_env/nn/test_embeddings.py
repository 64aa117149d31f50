"""Embeddings of tokens that look alike are near each other."""

from __future__ import annotations

import torch

from genie_env.nn.embeddings import half_whitened_components


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
