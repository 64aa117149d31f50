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
