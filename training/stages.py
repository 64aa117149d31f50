"""The stages between a recording and a bundle, in their order; a run has a folder for each of them."""

from __future__ import annotations

from training.data import tokenize_episodes
from training.dynamics import task as dynamics
from training.engine.stage import Stage
from training.latent_action import task as latent_action
from training.outcome import task as outcome
from training.tokenizer import task as tokenizer

STAGES: tuple[Stage, ...] = (
    tokenizer.STAGE,
    latent_action.STAGE,
    tokenize_episodes.STAGE,
    dynamics.STAGE,
    outcome.STAGE,
)
