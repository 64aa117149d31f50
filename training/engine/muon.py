"""Muon: momentum whose matrices are made orthogonal before they are applied (Jordan et al. 2024).

For the hidden matrices of a transformer only; embeddings, outputs and vectors stay with AdamW. PyTorch has a Muon too,
but it orthogonalises in bfloat16 always, which processors without such instructions multiply hundreds of times more
slowly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

# Quintic iteration whose five steps bring every singular value near one (Jordan et al. 2024).
COEFFICIENTS, STEPS = (3.4445, -4.7750, 2.0315), 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay."""

    precision = torch.float32
    """In which matrices are orthogonalised; bfloat16 is enough (Jordan et al. 2024)."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Apply the gradients. Matrices of one shape are orthogonalised together."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for params in shapes.values():
                momenta = torch.stack([self._momentum(p, group["momentum"]) for p in params])
                directions = orthogonalise(momenta, self.precision)
                # Tall matrices get longer steps, so that a step changes activations alike whatever the shape.
                rate = group["lr"] * max(1.0, params[0].shape[0] / params[0].shape[1]) ** 0.5
                for p, direction in zip(params, directions, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(direction, alpha=rate)

    def _momentum(self, p: nn.Parameter, momentum: float) -> torch.Tensor:
        assert p.grad is not None
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - momentum)
        return torch.lerp(p.grad, state["momentum"], momentum)


def orthogonalise(matrices_KMN: torch.Tensor, precision: torch.dtype = torch.float32) -> torch.Tensor:
    """Bring the singular values of each matrix near one by a Newton-Schulz iteration in ``precision``."""
    a, b, c = COEFFICIENTS
    tall = matrices_KMN.shape[1] > matrices_KMN.shape[2]
    x = matrices_KMN.transpose(1, 2) if tall else matrices_KMN
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)).to(precision)
    for _ in range(STEPS):
        square = x @ x.transpose(1, 2)
        x = a * x + torch.baddbmm(square, square, square, beta=b, alpha=c) @ x
    return (x.transpose(1, 2) if tall else x).to(matrices_KMN.dtype)
