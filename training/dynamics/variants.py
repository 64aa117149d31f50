"""Ways of training the dynamics that ``training.ablation`` compares: names, and the settings that each changes.

What a variant does not name is the recipe's, corruption among it. Four are the cross of corruption and self-rollout:
``teacher forcing`` (neither), ``+ corruption`` (only that), ``self-rollout only``, ``parent continued`` (both, evenly
drawn). The last is how a recipe's own training ends, and what each of those below it changes in one point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from training.dynamics.scheduled_sampling import ScheduledSamplingConfig

FORCED, CONTINUED = "teacher forcing", "parent continued"
NO_DREAMS = ScheduledSamplingConfig(method="none")
DREAMS = ScheduledSamplingConfig(begin=0.0, curriculum=False)
HALF = replace(DREAMS, schedule="constant")
"""Half of the rows end in dreamed frames, from the first update to the last."""
LONG_CLIPS = {"clip_length": 64}

VARIANTS: dict[str, dict[str, Any]] = {
    FORCED: {"corruption": 0.0, "scheduled_sampling": NO_DREAMS},
    "+ corruption": {"scheduled_sampling": NO_DREAMS},
    "+ two-pass": {"scheduled_sampling": replace(DREAMS, method="two_pass")},
    "+ self-rollout": {"scheduled_sampling": DREAMS},
    "+ curriculum": {"scheduled_sampling": replace(DREAMS, curriculum=True)},
    "self-rollout only": {"corruption": 0.0, "scheduled_sampling": HALF},
    CONTINUED: {"scheduled_sampling": HALF},
    "loss-drawn clips": {"scheduled_sampling": HALF, "loss_share": 0.33},
    "loss-drawn clips, corrected": {"scheduled_sampling": HALF, "loss_share": 0.33, "loss_correction": True},
    "judged by frames": {"scheduled_sampling": replace(HALF, validity="frame")},
    "clips of 64": {"scheduled_sampling": HALF, **LONG_CLIPS},
    "32 dreamed frames": {"scheduled_sampling": replace(HALF, max_frames=32, validity="frame"), **LONG_CLIPS},
}
"""Fields of ``TrainDynamicsConfig``."""
FROM_FORCED = tuple(VARIANTS)[:5]
"""What a parent that only ever saw real frames may go on with; the last three are alternatives, all with corruption."""
