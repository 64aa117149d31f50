"""Names and values of an environment's information, for one row or many. Knows nothing of Gymnasium's API."""

from __future__ import annotations

from typing import Any

import numpy as np

from genie_env.envs.options import ResolvedOptions
from genie_env.rollout.records import DreamStep


def reset_values(options: ResolvedOptions) -> dict[str, Any]:
    """What stands in the information of a row that was just reset."""
    values: dict[str, Any] = {"action": -1, "latent_action": -1, "entropy": 0.0, "step": 0}
    if options.is_uncertain:
        values["uncertainty"] = 0.0
        if options.max_uncertainty is not None:
            values["too_uncertain"] = False
    return values


def step_values(step: DreamStep, steps_B: np.ndarray) -> dict[str, np.ndarray]:
    """What stands there after a step: fresh arrays [B] under the names of :func:`reset_values`.

    Args:
        step: what it brought.
        steps_B: steps since each row's reset.
    """
    values = {
        "action": step.action_B.copy(),
        "latent_action": step.latent_action_B.copy(),
        "entropy": step.entropy_B.astype(np.float64),
        "step": steps_B.copy(),
    }
    if step.uncertainty_B is not None:
        values["uncertainty"] = step.uncertainty_B.astype(np.float64)
    if step.truncated_B is not None:
        values["too_uncertain"] = step.truncated_B.copy()
    return values
