"""Frozen configuration of an ensemble: several dynamics of one size, or one trunk with several heads.

Owns names, defaults and checks of the settings. Knows nothing about torch, files or Gymnasium.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from genie_env.config.bounds import require_memory
from genie_env.config.networks import DYNAMICS_KINDS, DYNAMICS_SHAPES, DynamicsConfig, DynamicsShape
from genie_env.files.json_config import _require

MemberKind = Literal["networks", "heads"]
MOST_MEMBERS = 16
MOST_BLOCKS = 128
"""Transformer blocks of all members together: as many as the deepest single dynamics may have."""


@dataclass(frozen=True)
class EnsembleShape(DynamicsShape):
    """An ensemble, but for what its tokens and actions decide; what a person chooses."""

    kind: str = "ensemble"
    members: int = 3
    """Predictions that are averaged; where they differ, the ensemble does not know."""
    member_kind: MemberKind = "networks"
    """``networks``: dynamics that share nothing; ``heads``: heads on one trunk, each with clips of its own."""

    def __post_init__(self) -> None:
        # Before anything is multiplied by it.
        _require(
            2 <= self.members <= MOST_MEMBERS,
            f"members: expected an integer from 2 to {MOST_MEMBERS}, got {self.members!r}",
        )
        kinds = get_args(MemberKind)
        _require(self.member_kind in kinds, f"member_kind: expected one of {list(kinds)}, got {self.member_kind!r}")
        super().__post_init__()
        blocks = self.num_trunks * self.num_layers + self.members * self.head_layers
        _require(blocks <= MOST_BLOCKS, f"members: expected at most {MOST_BLOCKS} blocks in all of them, got {blocks}")

    @property
    def num_trunks(self) -> int:
        """Trunks that read each frame, each with a memory of its own."""
        return self.members if self.member_kind == "networks" else 1


@dataclass(frozen=True)
class EnsembleConfig(EnsembleShape, DynamicsConfig):
    """Ensemble: several dynamics of one size, or one trunk with several heads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        past = (2 * self.num_layers, self.window, self.num_groups, self.width)
        require_memory("dynamics: past of all members", self.num_trunks, *past)

    @property
    def member(self) -> DynamicsConfig:
        """One of the dynamics that it is made of."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(DynamicsConfig)}
        return DynamicsConfig(**{**fields, "kind": "transformer"})


DYNAMICS_KINDS.update(ensemble=EnsembleConfig)
DYNAMICS_SHAPES.update(ensemble=EnsembleShape)
