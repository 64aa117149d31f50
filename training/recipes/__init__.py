"""Recipes: every setting of every stage of a world, by name. A new game is an entry here and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from genie_env.config import DynamicsConfig, LatentActionConfig, OutcomeConfig, SamplingConfig, TokenizerConfig
from training.engine.loop import LoopConfig


@dataclass(frozen=True)
class Recipe:
    """Settings of the stages. ``dynamics`` and the others hold the fields of the stages' own configurations."""

    env: str
    steps: int
    env_kwargs: str = "{}"
    module: str = ""
    tokenizer: TokenizerConfig = TokenizerConfig()
    tokenizer_loop: LoopConfig = LoopConfig(n_updates=4000, batch_size=32)
    latent_action: LatentActionConfig | None = LatentActionConfig()
    """None: no latent action model, where the dynamics learns from recorded actions."""
    latent_action_loop: LoopConfig = LoopConfig(n_updates=1600, batch_size=32, weight_decay=1e-4, eval_every=400)
    label_fraction: float = 0.0
    """Share of transitions whose real action the latent action model may learn from."""
    latent_action_training: dict[str, Any] = field(default_factory=dict)
    """Fields of ``TrainLatentActionConfig`` that differ."""
    recorded_actions: bool = False
    """Let the dynamics learn from recorded actions instead of inferred ones; needs labels, which number the codes."""
    dynamics: dict[str, Any] = field(default_factory=dict)
    """Fields of :class:`DynamicsConfig` that differ; sizes that follow from the tokenizer fill themselves in."""
    dynamics_training: dict[str, Any] = field(default_factory=dict)
    """Fields of ``TrainDynamicsConfig`` that differ."""
    dynamics_loop: LoopConfig = LoopConfig(
        n_updates=12_500, batch_size=4, learning_rate=3e-3, muon_rate=0.02, warmup=100, decay_share=0.4, ema=0.999
    )
    outcome: dict[str, Any] = field(default_factory=dict)
    """Fields of :class:`OutcomeConfig` that differ; the vocabulary and the number of tokens are the tokenizer's."""
    outcome_loop: LoopConfig = LoopConfig(n_updates=2500, batch_size=128, weight_decay=0.05)
    sampling: SamplingConfig = SamplingConfig()
    record: dict[str, Any] = field(default_factory=dict)
    """Fields of ``RecordConfig`` that differ."""

    def __post_init__(self) -> None:
        if self.latent_action is None and not self.recorded_actions:
            raise ValueError("latent_action: expected a model, since recorded_actions is off; got none")
        if self.recorded_actions and self.latent_action is not None and not self.label_fraction:
            raise ValueError("recorded_actions: expected a label_fraction > 0; without labels codes are in any order")

    def dynamics_config(self) -> DynamicsConfig:
        """The dynamics that fits tokenizer and latent action model."""
        sizes = {"vocab_size": self.tokenizer.vocab_size, "side": self.tokenizer.side}
        if self.latent_action is not None:
            sizes["num_actions"] = self.latent_action.num_actions
        return DynamicsConfig(**{**sizes, **self.dynamics})

    def outcome_config(self) -> OutcomeConfig:
        """The outcome head that fits the tokenizer."""
        sizes = {"vocab_size": self.tokenizer.vocab_size, "num_tokens": self.tokenizer.num_tokens}
        return OutcomeConfig(**{**sizes, **self.outcome})


# Pictures of half the size and an encoder that sees what moved, not where: codes are learned from pictures first.
_CODES = LatentActionConfig(image_size=32, channels=16, pooled=True)
_CODES_LOOP = LoopConfig(n_updates=5000, batch_size=64, learning_rate=2e-3, weight_decay=1e-4, decay_share=0.2)

_PONG = Recipe(
    env="ALE/Pong-v5",
    # Without sticky actions, as in the Atari 100k benchmark: what the player does is then what happens.
    env_kwargs='{"repeat_action_probability": 0.0}',
    # Ten gigabytes. Of 200,000 steps the dynamics learned part by heart: it was half as sure of held-out play as of
    # its own.
    steps=800_000,
    tokenizer=TokenizerConfig(vocab_size=2048),
    latent_action=_CODES,
    latent_action_loop=_CODES_LOOP,
    # The latent action model knows two of a hundred actions; for none, see the next recipe.
    label_fraction=0.02,
    recorded_actions=True,
    # About four tokens change in a frame; in one of ten thousand, more than nine.
    sampling=SamplingConfig(max_changed=16),
)

RECIPES: dict[str, Recipe] = {
    "pong": _PONG,
    # From pictures alone.
    "pong_unlabelled": replace(_PONG, label_fraction=0.0, recorded_actions=False),
    "breakout": Recipe(
        env="ALE/Breakout-v5",
        env_kwargs='{"repeat_action_probability": 0.0}',
        steps=200_000,
        tokenizer=TokenizerConfig(vocab_size=2048),
        latent_action=replace(_CODES, num_actions=4),
        latent_action_loop=_CODES_LOOP,
        label_fraction=0.02,
        recorded_actions=True,
        # A game ends three to nine frames after its last ball was seen, and nothing else moves then.
        outcome={"rewards": (0.0, 1.0, 4.0, 7.0), "context_frames": 12},
        sampling=SamplingConfig(max_changed=16),
    ),
}
