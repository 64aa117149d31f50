"""Minutes divided among the stages, and how many updates fit into them.

Owns arithmetic alone: what takes how long is measured elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

LEAST_MINUTES = 4.0
"""Fewer minutes than these give no world worth looking at."""
STAGES = ("record", "tokenizer", "latent_action", "tokenize", "dynamics", "outcome", "evaluate")


class Shares(NamedTuple):
    """Share of the whole time of each stage."""

    record: float
    tokenizer: float
    latent_action: float
    tokenize: float
    dynamics: float
    outcome: float
    evaluate: float


CODEBOOK = Shares(0.12, 0.02, 0.0, 0.03, 0.67, 0.08, 0.08)
LEARNED_TOKENIZER = Shares(0.12, 0.22, 0.0, 0.04, 0.46, 0.08, 0.08)
LATENT_ACTION = 0.15
"""Share taken from the dynamics where the latent action model is needed."""
ENOUGH = {"record": 15.0, "outcome": 6.0, "evaluate": 6.0}
"""Minutes that are enough for a stage in any budget; the dynamics gets the others."""


def divide(minutes: float, learned_tokenizer: bool, latent_action: bool, outcome: bool = True) -> dict[str, float]:
    """Minutes of each stage; the dynamics gets those of an outcome head that is not needed.

    Raises:
        ValueError: if there are fewer than :data:`LEAST_MINUTES`.
    """
    if not minutes >= LEAST_MINUTES:
        raise ValueError(f"minutes: expected at least {LEAST_MINUTES:g}, got {minutes!r}; recording alone takes one")
    shares = (LEARNED_TOKENIZER if learned_tokenizer else CODEBOOK)._asdict()
    if latent_action:
        shares["latent_action"] = LATENT_ACTION
        shares["dynamics"] -= LATENT_ACTION
    if not outcome:
        shares["dynamics"] += shares["outcome"]
        shares["outcome"] = 0.0
    planned = {stage: minutes * share for stage, share in shares.items()}
    for stage, enough in ENOUGH.items():
        planned["dynamics"] += max(0.0, planned[stage] - enough)
        planned[stage] = min(planned[stage], enough)
    return planned


def minutes_for(
    stage: str, minutes: float, spent: dict[str, float], planned: dict[str, float], bounded: bool = True
) -> float:
    """Minutes of ``stage`` so that the whole budget holds: its share of what is left for it and the stages after it.

    Args:
        stage: that is to run.
        minutes: the whole budget.
        spent: minutes that each stage took so far, interrupted ones included.
        planned: minutes of every stage as first planned, in their order.
        bounded: give no stage more than is :data:`ENOUGH`; others know better how much that is.
    """
    stages = list(planned)
    share = sum(planned[one] for one in stages[stages.index(stage) :])
    remaining = max(0.0, minutes - sum(spent.values()))
    left = remaining * planned[stage] / share if share else 0.0
    return min(left, ENOUGH.get(stage, left)) if bounded else left


def updates_for(minutes: float, seconds_per_update: float, least: int = 50) -> int:
    """How many updates fit into ``minutes``."""
    return max(least, int(minutes * 60 / max(seconds_per_update, 1e-6)))
