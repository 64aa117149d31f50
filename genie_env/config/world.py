"""Frozen configurations of a world: its game, its actions, its sampling, and all of it together.

Owns names, defaults and checks of the settings. Knows nothing about torch, files or Gymnasium.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from genie_env.config.bounds import LARGEST_SIZE, require_memory, require_number, require_sizes, require_texts
from genie_env.config.ensembles import EnsembleConfig
from genie_env.config.networks import (
    NETWORKS,
    DynamicsConfig,
    LatentActionConfig,
    OutcomeConfig,
    TokenizerConfig,
)
from genie_env.files.json_config import JsonConfig, _require

FORMAT_VERSION = 1
"""Networks that a world may have, in the order in which they are trained."""
NOTHING = frozenset({"NOOP", "NO_OP", "NO-OP", "NONE", "NOTHING", "STAY", "REST", "IDLE", "NULL"})
"""Names that games give to the action that does nothing."""


@dataclass(frozen=True)
class SourceConfig(JsonConfig):
    """The real game a world was learned from, and how its pictures become frames."""

    env_id: str = ""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    crop: tuple[int, int, int, int] | None = None
    """Rows ``top, bottom`` and columns ``left, right`` kept of the picture; None keeps all."""
    image_size: int = 64
    pad: bool = False
    """Whether frames keep the proportions of the picture, with black bars, instead of stretching it."""
    frame_skip: int = 1
    """Times the wrapper repeats an action (an env's own ``frameskip`` belongs in ``env_kwargs``)."""
    fps: float = 15.0
    action_meanings: tuple[str, ...] = ()
    effects: tuple[int, ...] = ()
    """For each real action the index of its effect; actions with one effect are interchangeable."""
    keys: dict[str, int] = field(default_factory=dict)
    """Keyboard key name to real action."""
    has_actions: bool = True
    """Whether it is known what was played; a film does not say."""
    has_outcomes: bool = True
    """Whether rewards or ends are known; a film shows neither."""

    def __post_init__(self) -> None:
        require_sizes(self)
        _require(
            self.has_actions or not (self.action_meanings or self.effects or self.keys),
            f"action_meanings, effects and keys: expected none without actions, got {list(self.action_meanings)[:20]}",
        )
        require_number("fps", self.fps, 0, 10_000, open_below=True)
        require_texts("env_id", [self.env_id])
        # Gymnasium imports what stands before a colon, and what the id of one of its bridges to other libraries names.
        _require(
            ":" not in self.env_id and not self.env_id.startswith("GymV2"),
            f"env_id: expected the id of a registered game, got {self.env_id!r}; import its module first (--module)",
        )
        require_texts("action_meanings", self.action_meanings)
        require_texts("keys", self.keys)
        # A game whose actions have no names yet is one that has not been recorded.
        num_actions = len(self.action_meanings) or LARGEST_SIZE
        num_effects = len(self.effects) if not self.action_meanings else num_actions
        _require_table("effects", self.effects, num_effects if self.effects else 0, num_actions)
        _require_table("keys", tuple(self.keys.values()), len(self.keys), num_actions)
        if self.crop is not None:
            top, bottom, left, right = self.crop
            _require(
                0 <= top < bottom <= LARGEST_SIZE and 0 <= left < right <= LARGEST_SIZE,
                f"crop: expected top < bottom and left < right, from 0 to {LARGEST_SIZE}, got {list(self.crop)}",
            )

    @property
    def noop(self) -> int | None:
        """The real action that does nothing, by its name; None where no action is called so."""
        found = [number for number, name in enumerate(self.action_meanings) if name.upper() in NOTHING]
        return found[0] if found else None

    @property
    def unknown(self) -> str:
        """What is not known of the game, and what that means for who plays it; empty where everything is."""
        unknown = []
        if not self.has_actions:
            unknown.append("which actions were played, so there are latent ones only")
        if not self.has_outcomes:
            unknown.append("rewards and ends, so rewards are 0 and no episode ends by itself")
        return "; ".join(unknown)


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

    RETIRED = ("by_features",)

    @classmethod
    def from_effects(cls, effects: tuple[int, ...], num_actions: int) -> ActionMapConfig:
        """The map of a dynamics that learned from recorded actions: its actions are their effects.

        Nothing is fitted, so there are no labels and no agreement with any.

        Args:
            effects: effect of each real action.
            num_actions: actions of the dynamics; those beyond the effects stand for the first real action.

        Raises:
            ValueError: if there are more effects than actions.
        """
        _require(
            all(0 <= effect < num_actions for effect in effects),
            f"effects: expected values from 0 to {num_actions - 1}, one for each action, got {list(effects)}",
        )
        stands = tuple(effects.index(action) if action in effects else 0 for action in range(num_actions))
        purity = tuple(float(action in effects) for action in range(num_actions))
        return cls(effects, stands, purity, num_labels=0, coverage=1.0)


@dataclass(frozen=True)
class SamplingConfig(JsonConfig):
    """How the next frame's tokens are drawn; the values that served this world best."""

    temperature: float = 1.0
    top_p: float = 0.9
    decode_steps: int = 1
    max_changed: int = 64
    """At most so many tokens of a frame are drawn, those least likely to stay what they are; the others stay."""

    def __post_init__(self) -> None:
        require_sizes(self)
        require_number("temperature", self.temperature, 0, 1000)
        require_number("top_p", self.top_p, 0, 1, open_below=True)


@dataclass(frozen=True)
class WorldConfig(JsonConfig):
    """Everything about a world except its weights."""

    name: str
    tokenizer: TokenizerConfig
    latent_action: LatentActionConfig | None
    """None: the dynamics learned from recorded actions and itself says which action a clip shows."""
    dynamics: DynamicsConfig
    outcome: OutcomeConfig | None
    """None: neither rewards nor ends are known of the game; dreams give 0 and go on."""
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
        readers = [reader for reader in (self.tokenizer, self.dynamics, self.outcome) if reader is not None]
        vocab = {reader.vocab_size for reader in readers}
        _require(len(vocab) == 1, f"tokenizer, dynamics and outcome disagree on vocab_size: {sorted(vocab)}")
        tokens = {reader.num_tokens for reader in readers}
        _require(len(tokens) == 1, f"tokenizer, dynamics and outcome disagree on tokens per frame: {sorted(tokens)}")
        _require(
            (self.outcome is not None) == self.source.has_outcomes,
            "outcome: expected an OutcomeConfig where source.has_outcomes is true, and none where it is false",
        )
        _require(
            self.source.has_actions or not self.recorded_actions,
            "recorded_actions: expected false, for source.has_actions is false",
        )
        if self.latent_action is not None:
            _require(
                self.latent_action.num_actions == self.dynamics.num_actions,
                "latent action model and dynamics disagree on num_actions",
            )
            _require(
                self.tokenizer.image_size % self.latent_action.image_size == 0,
                "latent_action.image_size: expected one that divides that of the tokenizer, "
                f"{self.tokenizer.image_size}, got {self.latent_action.image_size}",
            )
        _require(
            self.latent_action is not None or self.recorded_actions,
            "latent_action: expected a LatentActionConfig: the dynamics did not learn from recorded actions; got none",
        )
        require_texts("name", [self.name])
        most = self.tokenizer.num_tokens
        _require(
            self.sampling.decode_steps <= most,
            f"sampling.decode_steps: expected at most one for each token, {most}, got {self.sampling.decode_steps}",
        )
        changed = min(self.sampling.max_changed, most)
        require_memory("sampling.max_changed * vocab_size", changed, self.tokenizer.vocab_size)
        num_real, num_latent = len(self.source.action_meanings), self.dynamics.num_actions
        named = num_real > 0 or not (self.source.keys or self.source.effects)
        _require(named, "source.action_meanings: expected a name for each action that keys and effects belong to")
        if self.action_map is not None:
            _require_map(self.action_map, num_real, num_latent)

    @property
    def prototypes(self) -> tuple[tuple[float, float, float], ...]:
        """Effects of the latent actions as in :class:`LatentActionConfig`; empty without a latent action model."""
        return () if self.latent_action is None else self.latent_action.prototypes

    @property
    def members(self) -> int:
        """Members of the dynamics: 1, but for an ensemble."""
        return self.dynamics.members if isinstance(self.dynamics, EnsembleConfig) else 1

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks that the world has."""
        return tuple(name for name in NETWORKS if getattr(self, name) is not None)


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
    _require(fits, f"{name}: expected {length} values from 0 to {stop - 1}, got {list(table)[:100]}")
