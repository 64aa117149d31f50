"""Breakout."""

from __future__ import annotations

from dataclasses import replace

from genie_env.config import SamplingConfig, TokenizerConfig
from training.recipes.pong import CODES, CODES_LOOP
from training.recipes.recipe import Recipe

BREAKOUT = Recipe(
    env="ALE/Breakout-v5",
    env_kwargs='{"repeat_action_probability": 0.0}',
    steps=200_000,
    tokenizer=TokenizerConfig(vocab_size=2048),
    latent_action=replace(CODES, num_actions=4),
    latent_action_loop=CODES_LOOP,
    label_fraction=0.02,
    recorded_actions=True,
    # A game ends three to nine frames after its last ball was seen, and nothing else moves then.
    outcome={"rewards": (0.0, 1.0, 4.0, 7.0), "context_frames": 12},
    sampling=SamplingConfig(max_changed=16),
)
