"""Context corruption: what a dynamics model must survive because its own dreams will contain it.

A share of the context's tokens, drawn for each clip, is replaced (GameNGen, arXiv 2408.14837: without noise in
the context, rollouts collapse within 10-20 frames). The targets stay clean.
"""

from __future__ import annotations

import torch


def corrupt_context(
    tokens_BTN: torch.Tensor, max_rate: float, vocab_size: int, generator: torch.Generator
) -> torch.Tensor:
    """Return a copy with tokens replaced at a rate drawn per row from U(0, ``max_rate``).

    A replaced token becomes, with equal chances, any token of the vocabulary, a token from the same place in
    another clip and time (a sprite where it does not belong), or the token of the frame before (a sprite that
    stayed behind or did not arrive yet).
    """
    rows, steps, _ = tokens_BTN.shape
    device = tokens_BTN.device
    # Drawn on the CPU from the loop's generator, so that batches do not depend on the device.
    rate_B11 = torch.rand(rows, 1, 1, generator=generator) * max_rate
    replaced = (torch.rand(tokens_BTN.shape, generator=generator) < rate_B11).to(device)
    kind = torch.randint(3, tokens_BTN.shape, generator=generator).to(device)
    anything = torch.randint(vocab_size, tokens_BTN.shape, generator=generator).to(device)
    order = torch.randperm(rows * steps, generator=generator).to(device)
    elsewhere = tokens_BTN.flatten(0, 1)[order].view_as(tokens_BTN)
    stale = torch.cat([tokens_BTN[:, :1], tokens_BTN[:, :-1]], dim=1)
    substitute = torch.where(kind == 0, anything, torch.where(kind == 1, elsewhere, stale))
    return torch.where(replaced, substitute, tokens_BTN)
