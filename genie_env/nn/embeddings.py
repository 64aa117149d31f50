"""First values of embeddings, from what is known of the tokens they stand for."""

from __future__ import annotations

import itertools
import math

import torch

MOST_FUNCTIONS = 128
"""Smooth functions on a grid that describe its points, twice as many as an embedding has numbers by default."""
HIGHEST_DEGREE = 8


def half_whitened_components(descriptors_VK: torch.Tensor, most: int) -> torch.Tensor:
    """Principal components of descriptors, strongest first, float [V, C] of standard deviation 1 with C <= ``most``.

    Each component is divided by the square root of its strength: strong ones lead, weak ones (the exact place of a
    ball) still count. Tokens whose descriptors are near each other are then near each other as embeddings, which saves
    the training that would be spent on learning the shape of the vocabulary.

    Args:
        descriptors_VK: float, what each token looks like.
        most: components wanted; there are fewer where the descriptors vary in fewer directions.
    """
    centred_VK = descriptors_VK.float() - descriptors_VK.float().mean(0)
    left_VC, strength_C, _ = torch.linalg.svd(centred_VK, full_matrices=False)
    used = min(most, left_VC.shape[1], int((strength_C > 1e-4 * strength_C[0]).sum()))
    components_VC = left_VC[:, :used] * strength_C[:used].sqrt()
    return components_VC / components_VC.std().clamp_min(1e-6)


def smooth_functions(levels: tuple[int, ...]) -> torch.Tensor:
    """Descriptors of the points of a grid in which near ones are alike, float [V, K]; V is the product of ``levels``.

    They are products of cosines along the axes, in the order in which FSQ numbers its tokens. Those that vary slowly
    count most: each is divided by its degree, the sum of its half periods. The coordinates alone, four for 4,096
    tokens, would leave nearly all of an embedding to chance.

    Args:
        levels: points along each axis, the fastest first.
    """
    coordinates = [(torch.arange(count) + 0.5) / count for count in levels]
    grid_VL = torch.cartesian_prod(*reversed(coordinates)).view(-1, len(levels)).flip(-1)
    waves_VL = math.pi * grid_VL
    functions: list[torch.Tensor] = []
    for degree in range(1, HIGHEST_DEGREE + 1):
        # Each axis as often as its cosine has half periods; a grid of n points carries n - 1 of them.
        orders = itertools.combinations_with_replacement(range(len(levels)), degree)
        counted = [[order.count(axis) for axis in range(len(levels))] for order in orders]
        fitting = [torch.tensor(c) for c in counted if all(k < n for k, n in zip(c, levels, strict=True))]
        if functions and len(functions) + len(fitting) > MOST_FUNCTIONS:
            break
        functions += [(waves_VL * order_L).cos().prod(-1) / degree for order_L in fitting]
    return torch.stack(functions, dim=-1)
