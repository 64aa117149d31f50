"""Muon orthogonalises updates, and leaves what has no gradient."""

from __future__ import annotations

import pytest
import torch

from training.engine.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 9, 9)])
def test_orthogonalised_matrices_keep_directions_and_lose_sizes(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 10.0
    left, sizes, right = torch.linalg.svd(orthogonalise(matrices), full_matrices=False)
    assert float(sizes.max()) < 1.3 and float(sizes.min()) > 0.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert float((orthogonalise(matrices) - left @ right).norm(dim=(1, 2)).max()) < 0.5 * shape[1] ** 0.5


def test_muon_goes_down_a_slope_and_leaves_what_has_no_gradient() -> None:
    target = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    moved, idle = torch.nn.Parameter(torch.zeros(6, 4)), torch.nn.Parameter(torch.ones(6, 4))
    optimizer = Muon([moved, idle], lr=0.05)
    losses = []
    for _ in range(100):
        loss = (moved - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
    assert torch.equal(idle, torch.ones(6, 4))
