"""What steps of dreams bring, in NumPy, whichever runtime makes it. No torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class DreamStep(NamedTuple):
    """One step of every row, as fresh arrays."""

    reward_B: np.ndarray
    """float64."""
    terminated_B: np.ndarray
    action_B: np.ndarray
    """Executed action, in the environment's own action space."""
    latent_action_B: np.ndarray
    entropy_B: np.ndarray
    """float32, mean entropy of the frame's tokens in nats."""
    uncertainty_B: np.ndarray | None = None
    """float32, disagreement of the members in nats a frame; None where a single dynamics plays."""
    truncated_B: np.ndarray | None = None
    """bool, rows that are cut off for it; None where that was not asked for."""


class DreamRoll(NamedTuple):
    """Several steps of every row at once, as fresh arrays."""

    frames_BTHWC: np.ndarray
    """Pictures uint8."""
    reward_BT: np.ndarray
    """float64."""
    terminated_BT: np.ndarray
    """Rows dream on past the end of an episode."""
    log_prob_B: np.ndarray
    """float32, joint log-probability of the frames in nats."""
