"""Pong: actions learned from a few labels, or from pictures alone."""

from __future__ import annotations

from dataclasses import replace

from genie_env.config import LatentActionShape, SamplingConfig, TokenizerConfig
from training.engine.loop import LoopConfig
from training.recipes.recipe import Recipe

# Pictures of half the size and an encoder that sees what moved, not where: codes are learned from pictures first.
CODES = LatentActionShape(image_size=32, channels=16, pooled=True)
# In float32, as measured: learned in bfloat16, which some CPUs multiply faster, codes agreed less in both games tried.
CODES_LOOP = LoopConfig(
    n_updates=5000, batch_size=64, learning_rate=2e-3, weight_decay=1e-4, decay_share=0.2, precision="float32"
)

PONG = Recipe(
    env="ALE/Pong-v5",
    # Without sticky actions, as in the Atari 100k benchmark: what the player does is then what happens.
    env_kwargs='{"repeat_action_probability": 0.0}',
    # Ten gigabytes. Of 200,000 steps the dynamics learned part by heart: it was half as sure of held-out play as of
    # its own.
    steps=800_000,
    tokenizer=TokenizerConfig(vocab_size=2048),
    latent_action=CODES,
    latent_action_loop=CODES_LOOP,
    # The latent action model knows two of a hundred actions; for none, see the next recipe.
    label_fraction=0.02,
    recorded_actions=True,
    # About four tokens change in a frame; in one of ten thousand, more than nine.
    sampling=SamplingConfig(max_changed=16),
)

# From pictures alone.
PONG_UNLABELLED = replace(PONG, label_fraction=0.0, recorded_actions=False)
