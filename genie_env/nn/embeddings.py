"""First values of embeddings, from what is known of the tokens they stand for."""

from __future__ import annotations

import torch


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
