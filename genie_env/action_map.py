"""Between a game's real actions and a world's latent ones, by a map that was fitted before.

A model that learned without labels may call "up" what after "up" another code calls so; the map then also goes by the
real action played before.
"""

from __future__ import annotations

import numpy as np

from genie_env.config import ActionMapConfig, WorldConfig


def to_real(
    mapped: ActionMapConfig,
    latent_M: np.ndarray,
    before_M: np.ndarray | None = None,
) -> np.ndarray:
    """Real action for each latent one; by the action before where the map has tables for it and it is given.

    Args:
        mapped: the map.
        latent_M: latent actions.
        before_M: real actions played before, -1 where there was none.
    """
    real_M = np.array(mapped.latent_to_real)[latent_M]
    if before_M is not None and mapped.latent_to_real_after:
        after_RA = np.array(mapped.latent_to_real_after)
        real_M = np.where(before_M >= 0, after_RA[before_M, latent_M], real_M)
    return real_M


def real_action(mapped: ActionMapConfig | None, action: int, before: int) -> int:
    """The real action that one latent ``action`` is after the real one ``before`` (-1: none); itself without a map."""
    if mapped is None:
        return action
    return int(to_real(mapped, np.array([action]), before_M=np.array([before]))[0])


def latent_tables(mapped: ActionMapConfig) -> np.ndarray:
    """Latent action [R + 1, R] for each real action played before and now; the last row, -1, is for a beginning."""
    rows = mapped.real_to_latent_after or (mapped.real_to_latent,) * len(mapped.real_to_latent)
    return np.array([*rows, mapped.real_to_latent])


def latent_table(config: WorldConfig, action_type: str) -> np.ndarray:
    """Latent action int64 [A + 1, A] by the action executed before, the last row for a beginning, and the action now.

    Args:
        config: of the world.
        action_type: of the actions; ``latent`` ones stand for themselves.
    """
    if action_type == "real" and config.action_map is not None:
        return latent_tables(config.action_map)
    count = config.dynamics.num_actions
    return np.tile(np.arange(count), (count + 1, 1))
