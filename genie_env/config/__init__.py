"""Frozen configurations of everything a world is made of, and their JSON round trip."""

from genie_env.config.ensembles import EnsembleConfig, EnsembleShape, MemberKind
from genie_env.config.networks import (
    AUTO,
    DYNAMICS_KINDS,
    ENCODER_DEPTH,
    NETWORKS,
    TOKENIZER_KINDS,
    DynamicsConfig,
    DynamicsShape,
    LatentActionConfig,
    LatentActionShape,
    OutcomeConfig,
    OutcomeShape,
    TokenizerConfig,
    TokenSpace,
    require_num_actions,
)
from genie_env.config.world import FORMAT_VERSION, ActionMapConfig, SamplingConfig, SourceConfig, WorldConfig

__all__ = [
    "AUTO",
    "DYNAMICS_KINDS",
    "ENCODER_DEPTH",
    "FORMAT_VERSION",
    "NETWORKS",
    "TOKENIZER_KINDS",
    "ActionMapConfig",
    "DynamicsConfig",
    "DynamicsShape",
    "EnsembleConfig",
    "EnsembleShape",
    "LatentActionConfig",
    "LatentActionShape",
    "MemberKind",
    "OutcomeConfig",
    "OutcomeShape",
    "SamplingConfig",
    "SourceConfig",
    "TokenSpace",
    "TokenizerConfig",
    "WorldConfig",
    "require_num_actions",
]
