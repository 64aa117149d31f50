"""What stays as it is must keep its latents; what moves may change them."""

from __future__ import annotations

import torch

from training.tokenizer.losses import instability


def test_only_patches_that_stay_as_they_are_are_held_to_their_latents() -> None:
    frames = torch.zeros(1, 2, 3, 16, 16)
    frames[0, 1, :, 8:, 8:] = 0.5
    frames[0, 1, :, :8, :8] = 0.05
    latents = torch.zeros(1, 2, 2, 2, 4)
    latents[0, 1, 1, 1] = 3.0
    assert instability(latents, frames) == 0
    latents[0, 1, 0, 0, 0] = 3.0
    assert instability(latents, frames) == 3.0


def test_where_everything_moves_nothing_is_held() -> None:
    frames = torch.stack([torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16)], 1)
    assert instability(torch.randn(2, 2, 2, 2, 4, generator=torch.Generator().manual_seed(0)), frames) == 0
