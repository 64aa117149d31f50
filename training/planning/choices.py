"""What a user may decide instead of ``learn``: each field that is None is chosen by measuring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from genie_env.config import AUTO, require_num_actions
from genie_env.games.recorded_source import json_object


@dataclass(frozen=True)
class Choices:
    """Settings that overrule what is chosen."""

    players: str | None = None
    """Shares of the players as JSON, as for ``training.record``, such as '{"sticky": 0.5, "learner": 0.5}'."""
    steps: int | None = None
    """Steps of the game to record."""
    crop: tuple[int, int, int, int] | None = None
    """Rows top, bottom and columns left, right of the picture to keep."""
    tokenizer: Literal["codebook", "fsq"] | None = None
    """Kind of tokenizer: patches that occur often, or the learned one."""
    num_actions: Annotated[int | Literal["auto"] | None, tyro.conf.arg(aliases=["--codes"])] = None
    """Latent actions to learn where none were recorded, 2 to 8, or auto: as many as draw differently."""
    max_actions: int | None = None
    """The most latent actions that auto may find."""
    vocab_size: int | None = None
    """Patches of the codebook."""
    patch_size: int | None = None
    """Edge of a patch in pixels."""
    sharp: bool = False
    """Try frames whose pixels are whole numbers of the game's, and patches of 4 pixels, where sprites go anywhere and
    hardly repeat: they then stay sharp, and an update of the dynamics takes about twice as long."""
    clip_length: int | None = None
    """Frames of the clips that the dynamics learns from."""
    width: int | None = None
    """Channels of the dynamics."""
    num_layers: int | None = None
    """Layers of the dynamics."""
    updates: int | None = None
    """Updates of the dynamics, however long they take."""

    def __post_init__(self) -> None:
        for name in ("steps", "vocab_size", "patch_size", "width", "num_layers", "updates"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {value}")
        for name in ("num_actions", "max_actions"):
            if getattr(self, name) not in (None, AUTO):
                require_num_actions(name, getattr(self, name))
        if self.clip_length is not None and self.clip_length < 4:
            raise ValueError(f"clip_length: expected at least 4 frames, got {self.clip_length}")
        if self.players is not None:
            json_object("players", self.players)


NONE = Choices()
"""Nothing was decided by the user."""
