"""Frozen configurations of everything a world is made of, and their JSON round trip.

Owns names, defaults and checks of the settings. Knows nothing about torch, files or Gymnasium.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from genie_env.files.json_config import JsonConfig, _require

FORMAT_VERSION = 1


def _require_sizes(config: JsonConfig, *, may_be_zero: tuple[str, ...] = ()) -> None:
    """Refuse whole numbers that are no sizes, before anything is divided by them."""
    for f in dataclasses.fields(config):
        least, value = int(f.name not in may_be_zero), getattr(config, f.name)
        _require(f.type != "int" or value >= least, f"{f.name}: expected an integer >= {least}, got {value!r}")


@dataclass(frozen=True)
class TokenizerConfig(JsonConfig):
    """Video tokenizer: each ``patch_size``² square of a frame becomes one of ``vocab_size`` tokens."""

    kind: str = "codebook"
    """``codebook`` (nearest-neighbour patches, for sprite games) or ``fsq`` (learned, for everything else)."""
    image_size: int = 64
    patch_size: int = 8
    vocab_size: int = 1024
    levels: tuple[int, ...] = ()
    """FSQ only: quantisation levels per latent dimension; their product is ``vocab_size``."""
    channels: int = 32
    """FSQ only: width of the first convolution."""

    def __post_init__(self) -> None:
        _require_sizes(self)
        _require(self.kind in ("codebook", "fsq"), f"tokenizer kind: expected 'codebook' or 'fsq', got {self.kind!r}")
        _require(self.image_size % self.patch_size == 0, "image_size must be a multiple of patch_size")
        if self.kind == "fsq":
            product = 1
            for level in self.levels:
                product *= level
            _require(
                bool(self.levels) and product == self.vocab_size,
                f"fsq: product of levels {self.levels} must equal vocab_size {self.vocab_size}",
            )

    @property
    def side(self) -> int:
        """Tokens along one edge of a frame."""
        return self.image_size // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Tokens of one frame."""
        return self.side**2


@dataclass(frozen=True)
class LatentActionConfig(JsonConfig):
    """Latent action model: which of ``num_actions`` codes turned the last frame into the next one."""

    num_actions: int = 3
    context_frames: int = 4
    """Past frames that encoder and decoder see, the present one included."""
    image_size: int = 64
    """Frames are averaged down to this many pixels an edge: a smaller model that is faster to train."""
    channels: int = 32
    code_dim: int = 16
    pooled: bool = False
    """The encoder sees what moved, not where: without labels the same code means the same everywhere only so."""

    def __post_init__(self) -> None:
        _require_sizes(self)
        _require(2 <= self.num_actions <= 8, f"num_actions: expected 2 to 8, got {self.num_actions}")
        _require(self.image_size % 8 == 0, f"image_size: expected a multiple of 8, got {self.image_size}")


@dataclass(frozen=True)
class DynamicsConfig(JsonConfig):
    """Dynamics: a spatio-temporal transformer over groups of neighbouring tokens, with a masked decoding head."""

    vocab_size: int = 1024
    side: int = 8
    """Tokens along one edge of a frame."""
    group: int = 2
    """``group``² neighbouring tokens share one transformer position."""
    num_actions: int = 3
    width: int = 160
    num_layers: int = 4
    num_heads: int = 5
    head_layers: int = 1
    """Spatial blocks of the decoding head, run once per decoding step."""
    token_dim: int = 64
    window: int = 16
    """Frames of its own past that each temporal attention sees, the present one included."""

    def __post_init__(self) -> None:
        _require_sizes(self, may_be_zero=("head_layers",))
        _require(self.side % self.group == 0, f"side {self.side} must be a multiple of group {self.group}")
        _require(self.width % self.num_heads == 0, f"width {self.width} must be a multiple of {self.num_heads} heads")
        _require((self.width // self.num_heads) % 2 == 0, "the width of one head must be even")

    @property
    def num_tokens(self) -> int:
        """Tokens of one frame."""
        return self.side**2

    @property
    def num_groups(self) -> int:
        """Transformer positions of one frame."""
        return (self.side // self.group) ** 2


@dataclass(frozen=True)
class OutcomeConfig(JsonConfig):
    """Outcome head: reward class and termination of a transition, read from the tokens around it."""

    vocab_size: int = 1024
    num_tokens: int = 64
    context_frames: int = 4
    """Frames it reads, the one just reached included."""
    token_dim: int = 16
    width: int = 128
    rewards: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """The reward of each class."""

    def __post_init__(self) -> None:
        _require_sizes(self)
        _require(len(self.rewards) > 0, "rewards: expected at least one class")


@dataclass(frozen=True)
class SourceConfig(JsonConfig):
    """The real game a world was learned from, and how its pictures become frames."""

    env_id: str = ""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    crop: tuple[int, int, int, int] | None = None
    """Rows ``top, bottom`` and columns ``left, right`` kept of the picture; None keeps all."""
    image_size: int = 64
    frame_skip: int = 1
    """Times the wrapper repeats an action (an env's own ``frameskip`` belongs in ``env_kwargs``)."""
    fps: float = 15.0
    action_meanings: tuple[str, ...] = ()
    effects: tuple[int, ...] = ()
    """For each real action the index of its effect; actions with one effect are interchangeable."""
    keys: dict[str, int] = field(default_factory=dict)
    """Keyboard key name to real action."""

    def __post_init__(self) -> None:
        _require_sizes(self)
        _require(self.fps > 0, f"fps: expected a number > 0, got {self.fps!r}")


@dataclass(frozen=True)
class ActionMapConfig(JsonConfig):
    """Which latent action a real action becomes, and how sure that is."""

    real_to_latent: tuple[int, ...]
    latent_to_real: tuple[int, ...]
    purity: tuple[float, ...]
    """For each latent action the share of its transitions that carry its most frequent effect."""
    num_labels: int
    coverage: float | None = None
    """Share of the effects for which some latent action stands; an effect without one cannot be played."""
    agreement: float | None = None
    """Share of labelled transitions, each left out of the fit in turn, whose effect the map names."""
    real_to_latent_after: tuple[tuple[int, ...], ...] = ()
    """Where latent actions tell how the real one changed: ``real_to_latent`` for each real action played before."""
    latent_to_real_after: tuple[tuple[int, ...], ...] = ()
    """The way back, also for each real action played before; both or neither are empty."""


@dataclass(frozen=True)
class SamplingConfig(JsonConfig):
    """How the next frame's tokens are drawn; the values that served this world best."""

    temperature: float = 1.0
    top_p: float = 0.9
    decode_steps: int = 1
    max_changed: int = 64
    """At most so many tokens of a frame are drawn, those least likely to stay what they are; the others stay."""

    def __post_init__(self) -> None:
        _require(self.temperature >= 0, f"temperature: expected a number >= 0, got {self.temperature!r}")
        _require(0 < self.top_p <= 1, f"top_p: expected a number in (0, 1], got {self.top_p!r}")
        _require(self.decode_steps >= 1, f"decode_steps: expected an integer >= 1, got {self.decode_steps!r}")
        _require(self.max_changed >= 1, f"max_changed: expected an integer >= 1, got {self.max_changed!r}")


@dataclass(frozen=True)
class WorldConfig(JsonConfig):
    """Everything about a world except its weights."""

    name: str
    tokenizer: TokenizerConfig
    latent_action: LatentActionConfig
    dynamics: DynamicsConfig
    outcome: OutcomeConfig
    source: SourceConfig
    sampling: SamplingConfig = SamplingConfig()
    action_map: ActionMapConfig | None = None
    recorded_actions: bool = False
    """Whether the dynamics learned from the game's recorded actions instead of inferred ones."""
    metrics: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _require(
            self.format_version == FORMAT_VERSION,
            f"world format {self.format_version}: this version of genie_env reads format {FORMAT_VERSION}",
        )
        vocab = {self.tokenizer.vocab_size, self.dynamics.vocab_size, self.outcome.vocab_size}
        _require(len(vocab) == 1, f"tokenizer, dynamics and outcome disagree on vocab_size: {sorted(vocab)}")
        tokens = {self.tokenizer.num_tokens, self.dynamics.num_tokens, self.outcome.num_tokens}
        _require(len(tokens) == 1, f"tokenizer, dynamics and outcome disagree on tokens per frame: {sorted(tokens)}")
        _require(
            self.latent_action.num_actions == self.dynamics.num_actions,
            "latent action model and dynamics disagree on num_actions",
        )
        num_real, num_latent = len(self.source.action_meanings), self.dynamics.num_actions
        _require_table("source.keys", tuple(self.source.keys.values()), len(self.source.keys), num_real)
        if self.action_map is not None:
            _require_map(self.action_map, num_real, num_latent)


def _require_map(mapped: ActionMapConfig, num_real: int, num_latent: int) -> None:
    sizes = {"real_to_latent": (num_real, num_latent), "latent_to_real": (num_latent, num_real)}
    for name, (length, stop) in sizes.items():
        _require_table(f"action_map.{name}", getattr(mapped, name), length, stop)
        name = f"{name}_after"
        tables = getattr(mapped, name)
        _require(
            len(tables) in (0, num_real), f"action_map.{name}: expected {num_real} tables or none, got {len(tables)}"
        )
        for table in tables:
            _require_table(f"action_map.{name}", table, length, stop)


def _require_table(name: str, table: tuple[int, ...], length: int, stop: int) -> None:
    fits = len(table) == length and all(0 <= value < stop for value in table)
    _require(fits, f"{name}: expected {length} values from 0 to {stop - 1}, got {list(table)}")
