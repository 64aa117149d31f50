"""Frozen configurations of the four networks, and the kinds that there are of two of them.

Owns names, defaults and checks of the settings. Knows nothing about torch, files or Gymnasium.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from genie_env.config.bounds import require_memory, require_number, require_sizes
from genie_env.files.json_config import JsonConfig, _require

TOKENIZER_KINDS: dict[str, type[TokenizerConfig]] = {}
DYNAMICS_KINDS: dict[str, type[DynamicsConfig]] = {}
"""The class that describes each kind of network; :mod:`genie_env.models.registry` adds kinds."""
DYNAMICS_SHAPES: dict[str, type[DynamicsShape]] = {}
"""The class that holds what a person chooses of a kind of dynamics; a :class:`DynamicsShape` of those not listed."""


def _require_kind(kinds: dict[str, Any], kind: Any, network: str) -> None:
    _require(
        isinstance(kind, str) and kind in kinds,
        f"{network} kind: expected one of {sorted(kinds)}, got {kind!r}; import the module that registers it first",
    )


C = TypeVar("C", bound=JsonConfig)
AUTO = "auto"
"""Number of latent actions that training is to find."""
MOST_ACTIONS = 8


def _class_of_kind(cls: type[C], kinds: dict[str, Any], data: dict[str, Any], network: str) -> type[C]:
    kind = data.get("kind", next(f.default for f in dataclasses.fields(cls) if f.name == "kind"))
    if not isinstance(kind, str):
        return cls
    _require_kind(kinds, kind, network)
    return kinds[kind]


@dataclass(frozen=True)
class TokenSpace:
    """The tokens of a frame: ``side``² of them, each from 0 to ``vocab_size`` - 1."""

    vocab_size: int
    side: int

    @property
    def num_tokens(self) -> int:
        """Tokens of one frame."""
        return self.side**2


ENCODER_DEPTH = 2
"""Blocks of an encoder of patches."""


@dataclass(frozen=True)
class TokenizerConfig(JsonConfig):
    """Video tokenizer: each ``patch_size``² square of a frame becomes one of ``vocab_size`` tokens."""

    kind: str = "codebook"
    """``codebook`` (nearest-neighbour patches, for sprite games), ``fsq`` (learned, for everything else), or a kind of
    your own."""
    image_size: int = 64
    patch_size: int = 8
    vocab_size: int = 1024
    levels: tuple[int, ...] = ()
    """FSQ only: quantisation levels per latent dimension; their product is ``vocab_size``."""
    channels: int = 32
    """FSQ only: width of the last convolution that draws; an encoder of patches is eight times as wide."""
    encoder: Literal["patches", "overlapping"] = "patches"
    """FSQ only: what a token sees of the frame. ``patches``: its own patch and nothing else, so that it stays what it
    is where nothing changes. ``overlapping``: its neighbours too, as in worlds made before there was a choice."""
    steadiness: float = 0.2
    """FSQ only: steps of quantisation by which a latent must pass the border to another level before a token changes
    from one frame to the next; 0: every frame is encoded by itself."""

    def __post_init__(self) -> None:
        require_sizes(self)
        _require_kind(TOKENIZER_KINDS, self.kind, "tokenizer")
        _require(self.image_size % self.patch_size == 0, "image_size must be a multiple of patch_size")
        if self.kind == "fsq":
            self._check_fsq()

    def _check_fsq(self) -> None:
        halved = self.patch_size.bit_count() == 1 and self.patch_size > 1
        _require(halved, f"fsq: expected a patch_size that is a power of two, got {self.patch_size}")
        _require(self.channels % 8 == 0, f"fsq: expected channels that are a multiple of 8, got {self.channels}")
        _require(
            1 <= len(self.levels) <= 16 and all(2 <= level <= self.vocab_size for level in self.levels),
            f"fsq: expected 1 to 16 levels from 2 to vocab_size {self.vocab_size}, got {list(self.levels)[:20]}",
        )
        require_number("steadiness", self.steadiness, 0, 1)
        _require(
            math.prod(self.levels) == self.vocab_size,
            f"fsq: product of levels {self.levels} must equal vocab_size {self.vocab_size}",
        )
        require_memory("fsq: channels * image_size²", self.channels, self.image_size**2)
        require_memory("fsq: 24 * channels * patch_size²", 24 * self.channels, self.patch_size**2)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """As of every configuration; FSQ tokenizers of older versions are what they were."""
        if isinstance(data, dict) and data.get("kind") == "fsq" and "encoder" not in data:
            data = {"encoder": "overlapping", "steadiness": 0.0, **data}
        return super().from_json(data)

    @classmethod
    def class_for(cls, data: dict[str, Any]) -> type[Self]:
        """The class of the kind that ``data`` names."""
        return _class_of_kind(cls, TOKENIZER_KINDS, data, "tokenizer")

    @property
    def encoder_width(self) -> int:
        """Numbers between the layers of an encoder of patches."""
        return 8 * self.channels

    @property
    def tokens(self) -> TokenSpace:
        """What it makes of a frame."""
        return TokenSpace(self.vocab_size, self.side)

    @property
    def side(self) -> int:
        """Tokens along one edge of a frame."""
        return self.image_size // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Tokens of one frame."""
        return self.side**2


TOKENIZER_KINDS.update(codebook=TokenizerConfig, fsq=TokenizerConfig)


@dataclass(frozen=True)
class LatentActionShape(JsonConfig):
    """Latent action model, but for what its training finds out; what a person chooses."""

    num_actions: int | Literal["auto"] = 3
    """Number of codes, 2 to 8; ``auto`` finds it: codes that draw the same become one."""
    context_frames: int = 4
    """Past frames that encoder and decoder see, the present one included."""
    image_size: int = 64
    """Frames are averaged down to this many pixels an edge: a smaller model that is faster to train."""
    channels: int = 32
    code_dim: int = 16
    pooled: bool = False
    """The encoder sees what moved, not where: without labels the same code means the same everywhere only so."""

    def __post_init__(self) -> None:
        require_sizes(self)
        if self.num_actions != AUTO:
            require_num_actions("num_actions", self.num_actions)
        _require(self.image_size % 8 == 0, f"image_size: expected a multiple of 8, got {self.image_size}")
        _require(self.channels % 2 == 0, f"channels: expected an even number, got {self.channels}")
        require_memory("latent action: frames * image_size²", 3 * (self.context_frames + 1), self.image_size**2)
        require_memory("latent action: channels * image_size²", self.channels, self.image_size**2)


@dataclass(frozen=True)
class LatentActionConfig(LatentActionShape):
    """Latent action model: which of ``num_actions`` codes turned the last frame into the next one."""

    num_actions: int = 3
    """Number of codes, 2 to 8."""
    prototypes: tuple[tuple[float, float, float], ...] = ()
    """Measured effect of each code as (right, down, added): pixels of a frame by which it moves what it moves, and the
    share by which it makes it more, both against the mean of all codes; empty: not measured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_num_actions("num_actions", self.num_actions)
        measured = len(self.prototypes) in (0, self.num_actions) and all(
            math.isfinite(value) for prototype in self.prototypes for value in prototype
        )
        _require(measured, f"prototypes: expected {self.num_actions} or none, of finite numbers; got {self.prototypes}")


def require_num_actions(name: str, value: int) -> None:
    """Refuse numbers of latent actions that no model may have.

    Raises:
        ValueError: names the setting.
    """
    _require(value in range(2, MOST_ACTIONS + 1), f"{name}: expected 2 to {MOST_ACTIONS}, got {value!r}")


@dataclass(frozen=True)
class DynamicsShape(JsonConfig):
    """Dynamics, but for what its tokens and actions decide; what a person chooses."""

    kind: str = "transformer"
    """``transformer``, ``ensemble`` (several of them), or a kind of your own."""
    group: int = 2
    """``group``² neighbouring tokens share one transformer position."""
    width: int = 160
    num_layers: int = 4
    num_heads: int = 5
    head_layers: int = 1
    """Spatial blocks of the decoding head, run once per decoding step."""
    token_dim: int = 64
    window: int = 16
    """Frames of its own past that each temporal attention sees, the present one included."""

    def __post_init__(self) -> None:
        require_sizes(self, may_be_zero=("head_layers",))
        _require_kind(DYNAMICS_KINDS, self.kind, "dynamics")
        _require(self.width % self.num_heads == 0, f"width {self.width} must be a multiple of {self.num_heads} heads")
        _require((self.width // self.num_heads) % 2 == 0, "the width of one head must be even")

    @classmethod
    def class_for(cls, data: dict[str, Any]) -> type[Self]:
        """The class of the kind that ``data`` names."""
        kind = data.get("kind")
        return DYNAMICS_SHAPES.get(kind, cls) if isinstance(kind, str) else cls  # type: ignore[return-value]


@dataclass(frozen=True)
class DynamicsConfig(DynamicsShape):
    """Dynamics: a spatio-temporal transformer over groups of neighbouring tokens, with a masked decoding head."""

    vocab_size: int = 1024
    """Tokens that there are."""
    side: int = 8
    """Tokens along one edge of a frame."""
    num_actions: int = 3
    """Actions that it tells apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.side % self.group == 0, f"side {self.side} must be a multiple of group {self.group}")
        require_memory("dynamics: num_groups² * num_heads", self.num_groups**2, self.num_heads)
        require_memory("dynamics: past", 2 * self.num_layers, self.window, self.num_groups, self.width)
        # A table of rotations in each layer, over the window alone.
        require_memory("dynamics: num_layers * window * width", 16 * self.num_layers, self.window, self.width)

    @classmethod
    def class_for(cls, data: dict[str, Any]) -> type[Self]:
        """The class of the kind that ``data`` names."""
        return _class_of_kind(cls, DYNAMICS_KINDS, data, "dynamics")

    @property
    def tokens(self) -> TokenSpace:
        """The tokens that it predicts."""
        return TokenSpace(self.vocab_size, self.side)

    @property
    def num_tokens(self) -> int:
        """Tokens of one frame."""
        return self.side**2

    @property
    def num_groups(self) -> int:
        """Transformer positions of one frame."""
        return (self.side // self.group) ** 2


DYNAMICS_KINDS.update(transformer=DynamicsConfig)


@dataclass(frozen=True)
class OutcomeShape(JsonConfig):
    """Outcome head, but for what its tokens decide; what a person chooses."""

    context_frames: int = 4
    """Frames it reads, the one just reached included."""
    token_dim: int = 16
    width: int = 128
    rewards: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """The reward of each class."""

    def __post_init__(self) -> None:
        require_sizes(self)
        _require(0 < len(self.rewards) <= 1000, f"rewards: expected 1 to 1000 classes, got {len(self.rewards)}")
        for reward in self.rewards:
            require_number("rewards", reward, -1e9, 1e9)


@dataclass(frozen=True)
class OutcomeConfig(OutcomeShape):
    """Outcome head: reward class and termination of a transition, read from the tokens around it."""

    vocab_size: int = 1024
    """Tokens that there are."""
    num_tokens: int = 64
    """Tokens of one frame."""


NETWORKS: dict[str, type[JsonConfig]] = {
    "tokenizer": TokenizerConfig,
    "latent_action": LatentActionConfig,
    "dynamics": DynamicsConfig,
    "outcome": OutcomeConfig,
}
"""The networks of a world by their names in it, each with the class of its configuration."""
