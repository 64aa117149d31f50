"""Quantisers: finite scalar quantisation for pictures, vector quantisation for latent actions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


class FSQ(nn.Module):
    """Finite scalar quantisation (Mentzer et al. 2023, arXiv 2309.15505): each latent dimension is bounded and
    rounded to one of its ``levels``; the product of the levels is the vocabulary. No codebook, so no dead codes.
    """

    levels_L: torch.Tensor
    basis_L: torch.Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        basis = [math.prod(levels[:index]) for index in range(len(levels))]
        self.register_buffer("levels_L", torch.tensor(levels), persistent=False)
        self.register_buffer("basis_L", torch.tensor(basis), persistent=False)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """float [..., L] -> quantised float [..., L] in [-1, 1], gradients passed straight through."""
        bounded = self.bound(latents)
        return (bounded + (bounded.round() - bounded).detach() - self._shift()) / self._half()

    def to_tokens(self, latents: torch.Tensor) -> torch.Tensor:
        """float [..., L] -> int64 [...]."""
        return self.number(self.bound(latents).round())

    def number(self, rounded: torch.Tensor) -> torch.Tensor:
        """Bounded latents [..., L] that were rounded -> tokens int64 [...]."""
        digits = rounded.long() + self.levels_L // 2
        return (digits.clamp_min(0).minimum(self.levels_L - 1) * self.basis_L).sum(-1)

    def from_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """int64 [...] -> the quantised float [..., L] that :meth:`forward` gives."""
        digits = tokens[..., None] // self.basis_L % self.levels_L
        return (digits - self.levels_L // 2 - self._shift()) / self._half()

    def _half(self) -> torch.Tensor:
        return (self.levels_L - 1) / 2

    def _shift(self) -> torch.Tensor:
        # An even number of levels has no middle: its grid sits half a step to the left of zero.
        return torch.where(self.levels_L % 2 == 0, -0.5, 0.0)

    def bound(self, latents: torch.Tensor) -> torch.Tensor:
        """Squash so that rounding gives exactly ``levels`` values, -levels//2 .. (levels-1)//2."""
        return torch.tanh(latents.float()) * self._half() * 0.999 + self._shift()


class VectorQuantizer(nn.Module):
    """Nearest of a handful of learned unit vectors (VQ, van den Oord et al. 2017, arXiv 1711.00937).

    With so few codes the gradient can be that of the soft assignment (soft-to-hard, Agustsson et al. 2017, arXiv
    1704.00648): it tells each code what it would have been worth, where straight-through tells the chosen one only.
    Latents and codes live on the unit sphere, so no code dies by drifting in norm.
    """

    def __init__(self, num_codes: int, dim: int) -> None:
        super().__init__()
        self.codes_KD = nn.Parameter(F.normalize(torch.randn(num_codes, dim), dim=-1))

    def logits(self, latents_BD: torch.Tensor) -> torch.Tensor:
        """Cosine similarity to each code, sharpened: [B, K]. Its argmax is the nearest code."""
        return 10.0 * F.normalize(latents_BD.float(), dim=-1) @ F.normalize(self.codes_KD, dim=-1).T

    def embed(self, codes_B: torch.Tensor) -> torch.Tensor:
        """int64 [B] -> unit vectors [B, D]."""
        return F.normalize(self.codes_KD, dim=-1)[codes_B]

    def forward(self, logits_BK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the chosen code vectors [B, D], with gradients to all logits, and the codes int64 [B]."""
        codes_B = logits_BK.argmax(-1)
        soft_BK = logits_BK.softmax(-1)
        hard_BK = F.one_hot(codes_B, logits_BK.shape[-1]).to(soft_BK.dtype)
        return (hard_BK + soft_BK - soft_BK.detach()) @ F.normalize(self.codes_KD, dim=-1), codes_B
