"""From a few labelled transitions to a map between a game's real actions and a world's latent ones.

Genie (arXiv 2402.15391) needed 200 labelled transitions. Real actions with the same effect share their labels.
"""

from __future__ import annotations

import numpy as np

from genie_env.config import ActionMapConfig


def fit_action_map(
    latent_M: np.ndarray, real_M: np.ndarray, effects: tuple[int, ...], num_latent: int
) -> ActionMapConfig:
    """Fit the map on M transitions.

    Stepping with a real action takes the latent action that its effect makes most likely,
    argmax p(latent | effect); a latent action stands for the effect it most often goes with.

    Args:
        latent_M: inferred latent actions.
        real_M: real actions.
        effects: effect of each real action.
        num_latent: number of latent actions.

    Raises:
        ValueError: if the arrays differ in length or are empty.
    """
    if len(latent_M) != len(real_M) or not len(latent_M):
        raise ValueError(f"expected as many latent as real actions, at least one; got {len(latent_M)}, {len(real_M)}")
    effect_of = np.asarray(effects)
    counts_EA = np.zeros((effect_of.max() + 1, num_latent))
    np.add.at(counts_EA, (effect_of[real_M], latent_M), 1)
    latent_given_effect = counts_EA / counts_EA.sum(1, keepdims=True).clip(1)
    best_effect_A = counts_EA.argmax(0)
    purity_A = counts_EA.max(0) / counts_EA.sum(0).clip(1)
    first_real = [int(np.flatnonzero(effect_of == e)[0]) for e in range(len(counts_EA))]
    return ActionMapConfig(
        real_to_latent=tuple(int(latent_given_effect[e].argmax()) for e in effect_of),
        latent_to_real=tuple(first_real[e] for e in best_effect_A),
        purity=tuple(round(float(p), 4) for p in purity_A),
        num_labels=len(latent_M),
    )
