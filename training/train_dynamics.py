"""Train the dynamics: ``python -m training.train_dynamics --tokens runs/pong/tokens --out runs/pong/dynamics``.

``--members 3`` trains an ensemble: three networks with seeds of their own, one after another, or with ``--member-kind
heads`` three heads on one trunk.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from genie_env.command import run
from genie_env.config import EnsembleShape, MemberKind
from training.dynamics.task import TrainDynamicsConfig, train


@dataclass(frozen=True)
class Flags(TrainDynamicsConfig):
    """Learn to predict the next frame's tokens from past tokens and latent actions."""

    members: int = 1
    """Members of an ensemble; 1: a single dynamics."""
    member_kind: MemberKind = "networks"
    """What they are: networks of the size that is given, or heads of that size on one trunk."""

    def settings(self) -> TrainDynamicsConfig:
        """What is trained.

        Raises:
            ValueError: if there cannot be so many members.
        """
        fields: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(TrainDynamicsConfig)}
        if self.members != 1:
            fields["model"] = EnsembleShape.from_json({**self.model.to_json(), **ensemble_fields(self)})
        return TrainDynamicsConfig(**fields)


def ensemble_fields(flags: Any) -> dict[str, Any]:
    """Fields of a dynamics that is an ensemble, from flags called ``members`` and ``member_kind``."""
    return {"kind": "ensemble", "members": flags.members, "member_kind": flags.member_kind}


def main(flags: Flags) -> Any:
    """Command line."""
    return train(flags.settings())


if __name__ == "__main__":
    raise SystemExit(run(main, Flags, description=__doc__))
