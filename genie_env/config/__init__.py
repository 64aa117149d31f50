"""Frozen configurations of everything a world is made of, and their JSON round trip."""

from genie_env.config.networks import (
    DYNAMICS_KINDS,
    NETWORKS,
    TOKENIZER_KINDS,
    DynamicsConfig,
    DynamicsShape,
    LatentActionConfig,
    OutcomeConfig,
    OutcomeShape,
    TokenizerConfig,
    TokenSpace,
)
from genie_env.config.world import FORMAT_VERSION, ActionMapConfig, SamplingConfig, SourceConfig, WorldConfig

__all__ = [
    "DYNAMICS_KINDS",
    "FORMAT_VERSION",
    "NETWORKS",
    "TOKENIZER_KINDS",
    "ActionMapConfig",
    "DynamicsConfig",
    "DynamicsShape",
    "LatentActionConfig",
    "OutcomeConfig",
    "OutcomeShape",
    "SamplingConfig",
    "SourceConfig",
    "TokenSpace",
    "TokenizerConfig",
    "WorldConfig",
]
