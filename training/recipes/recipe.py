"""A recipe: every setting of every stage of a world, in Python or read from a TOML file.

Owns what a recipe may say; knows the settings of the stages, and neither runs them nor imports anything for them.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genie_env.config import (
    AUTO,
    NETWORKS,
    DynamicsConfig,
    DynamicsShape,
    LatentActionShape,
    OutcomeConfig,
    SamplingConfig,
    SourceConfig,
    TokenizerConfig,
)
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import read_bytes
from training.engine.adversarial import AdversarialConfig
from training.engine.loop import LoopConfig
from training.engine.stage import Stage

TOML_BYTES = 2**20
TABLES = ("game", "record", "tokenizer", "latent_action", "tokenize", "dynamics", "outcome", "export", "sampling")
"""Tables of a recipe's file: the stages, each with the flags of its command, and how dreams are drawn."""


CHOSEN: dict[str, type[JsonConfig]] = {**NETWORKS, "latent_action": LatentActionShape}
"""What a person chooses of each network."""


@dataclass(frozen=True)
class Recipe(JsonConfig):
    """Settings of the stages. ``dynamics`` and the other mappings hold fields of the stages' own configurations."""

    env: str
    steps: int
    env_kwargs: str = "{}"
    module: str = ""
    tokenizer: TokenizerConfig = TokenizerConfig()
    tokenizer_loop: LoopConfig = LoopConfig(n_updates=4000, batch_size=32)
    tokenizer_training: dict[str, Any] = field(default_factory=dict)
    """Fields of ``TrainTokenizerConfig`` that differ."""
    latent_action: LatentActionShape | None = LatentActionShape()
    """None: no latent action model, where the dynamics learns from recorded actions."""
    latent_action_loop: LoopConfig = LoopConfig(n_updates=1600, batch_size=32, weight_decay=1e-4, eval_every=400)
    latent_action_training: dict[str, Any] = field(default_factory=dict)
    """Fields of ``TrainLatentActionConfig`` that differ."""
    label_fraction: float = 0.0
    """Share of transitions whose real action the latent action model may learn from."""
    recorded_actions: bool = False
    """Let the dynamics learn from recorded actions instead of inferred ones; needs labels, which number the codes."""
    tokenize: dict[str, Any] = field(default_factory=dict)
    """Fields of ``TokenizeConfig`` that differ."""
    dynamics: dict[str, Any] = field(default_factory=dict)
    """Fields of :class:`DynamicsConfig` that differ, its kind among them; sizes follow from the tokenizer."""
    dynamics_training: dict[str, Any] = field(default_factory=dict)
    """Fields of ``TrainDynamicsConfig`` that differ."""
    dynamics_loop: LoopConfig = LoopConfig(
        n_updates=12_500, batch_size=4, learning_rate=3e-3, muon_rate=0.02, warmup=100, decay_share=0.4, ema=0.999
    )
    has_outcomes: bool = True
    """Train an outcome head; without, rewards and ends of the game are not known."""
    outcome: dict[str, Any] = field(default_factory=dict)
    """Fields of :class:`OutcomeConfig` that differ; the vocabulary and the number of tokens are the tokenizer's."""
    outcome_training: dict[str, Any] = field(default_factory=dict)
    """Fields of ``TrainOutcomeConfig`` that differ."""
    outcome_loop: LoopConfig = LoopConfig(n_updates=2500, batch_size=128, weight_decay=0.05)
    sampling: SamplingConfig = SamplingConfig()
    record: dict[str, Any] = field(default_factory=dict)
    """Fields of ``RecordConfig`` that differ."""
    game: SourceConfig | None = None
    """What is known of a game that is not registered: crop, rate, names, effects and keys of its actions."""
    export: dict[str, Any] = field(default_factory=dict)
    """Fields of ``ExportConfig`` that differ."""

    def __post_init__(self) -> None:
        if self.latent_action is None and not self.recorded_actions:
            raise ValueError("latent_action: expected a model, since recorded_actions is off; got none")
        if self.recorded_actions and self.latent_action is not None and not self.label_fraction:
            raise ValueError("recorded_actions: expected a label_fraction > 0; without labels codes are in any order")

    def dynamics_config(self) -> DynamicsConfig:
        """The dynamics that fits tokenizer and latent action model."""
        sizes = {"vocab_size": self.tokenizer.vocab_size, "side": self.tokenizer.side}
        if self._num_actions is not None:
            sizes["num_actions"] = self._num_actions
        return DynamicsConfig.from_json({**sizes, **self.dynamics})

    @property
    def _num_actions(self) -> int | None:
        """Latent actions, where their number is known before there are tokens."""
        known = None if self.latent_action is None else self.latent_action.num_actions
        return None if known == AUTO else known

    def outcome_config(self) -> OutcomeConfig:
        """The outcome head that fits the tokenizer."""
        tokens = self.tokenizer.tokens
        return OutcomeConfig.from_json(
            {"vocab_size": tokens.vocab_size, "num_tokens": tokens.num_tokens, **self.outcome}
        )

    def configure(self, stage: Stage, folders: Mapping[str, Path], **given: Any) -> Any:
        """The settings of a stage.

        Args:
            stage: one of a run.
            folders: of each stage that there is, by its name.
            given: fields that are no matter of the recipe.

        Raises:
            ValueError: if a field is unknown or its value not as expected; names stage and field.
        """
        inputs = {name: folders.get(source) for name, source in stage.inputs.items()}
        chosen = self._settings().get(stage.name, {})
        try:
            return stage.config_class.from_json({**chosen, **inputs, "out": folders[stage.name], **given})
        except ValueError as error:
            raise ValueError(f"recipe, {stage.name}: {error}") from None

    def _dynamics(self) -> DynamicsShape:
        """The dynamics, with its sizes where they are known before there are tokens."""
        if self._num_actions is None and "num_actions" not in self.dynamics:
            return DynamicsShape.from_json(self.dynamics)
        return self.dynamics_config()

    def _settings(self) -> dict[str, dict[str, Any]]:
        """Fields of the configuration of each stage, by its name."""
        return {
            "record": {
                "env": self.env,
                "steps": self.steps,
                "env_kwargs": self.env_kwargs,
                "module": self.module,
                "image_size": self.tokenizer.image_size,
                **self.record,
            },
            "tokenizer": {"model": self.tokenizer, "loop": self.tokenizer_loop, **self.tokenizer_training},
            "latent_action": {
                "model": self.latent_action,
                "loop": self.latent_action_loop,
                "label_fraction": self.label_fraction,
                **self.latent_action_training,
            },
            "tokenize": {"recorded_actions": self.recorded_actions, **self.tokenize},
            "dynamics": {"model": self._dynamics(), "loop": self.dynamics_loop, **self.dynamics_training},
            "outcome": {
                "model": self.outcome_config(),
                "loop": self.outcome_loop,
                "sampling": self.sampling,
                **self.outcome_training,
            },
            "export": {"sampling": self.sampling, **self.export},
        }


def read_recipe(path: Path, known: Mapping[str, Recipe]) -> Recipe:
    """A recipe from a TOML file: a table for each stage, whose keys are the flags of the stage's command.

    ``base = "pong"`` begins with a known recipe; ``latent_action = false`` does without that model, where actions are
    recorded. A file cannot name a Python module: whoever runs it imports it.

    Raises:
        FileError: if the file cannot be read, is no TOML, or says what no recipe says.
    """
    try:
        tables = tomllib.loads(read_bytes(path, TOML_BYTES).decode("utf-8"))
        base = tables.pop("base", None)
        if base is not None and base not in known:
            raise ValueError(f"base: expected one of {sorted(known)}, got {base!r}")
        unknown = sorted(set(tables) - set(TABLES))
        without = tables.get("latent_action") is False
        if without:
            del tables["latent_action"]
        if unknown or not all(isinstance(table, dict) for table in tables.values()):
            raise ValueError(f"expected the tables {list(TABLES)}, got {unknown or sorted(tables)}")
        if "module" in tables.get("record", {}):
            raise ValueError("record: a file cannot name a module; use --module")
        base = known[base] if base is not None else Recipe(env="", steps=0)
        return _updated(base, tables, without)
    except FileError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise FileError(path, f"not a recipe ({error})") from None


def _updated(base: Recipe, tables: dict[str, dict[str, Any]], without_latent_action: bool) -> Recipe:
    """The recipe that says what ``tables`` say, and else what ``base`` says."""
    changes = _of_record(tables.get("record", {}), base)
    if not changes.get("env", base.env) or not changes.get("steps", base.steps):
        raise ValueError("record: expected env and steps, or a base")
    for name in NETWORKS:
        changes |= _of_network(name, tables.get(name, {}), base)
    if without_latent_action:
        changes["latent_action"] = None
    tokenize = {"recorded_actions": base.recorded_actions} | base.tokenize | tables.get("tokenize", {})
    changes["recorded_actions"] = tokenize.pop("recorded_actions")
    _require_none("tokenize", {name: value for name, value in tokenize.items() if name != "max_frames"})
    changes["tokenize"] = tokenize
    changes["sampling"] = SamplingConfig.from_json({**base.sampling.to_json(), **tables.get("sampling", {})})
    if "game" in tables:
        changes["game"] = SourceConfig.from_json({"env_id": changes.get("env", base.env), **tables["game"]})
    changes["export"] = {**base.export, **tables.get("export", {})}
    return dataclasses.replace(base, **changes)


def _of_record(table: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Fields of a recipe, from the table of the recording."""
    found = {name: table[name] for name in ("env", "steps", "env_kwargs") if name in table}
    if isinstance(found.get("env_kwargs"), dict):
        found["env_kwargs"] = json.dumps(found["env_kwargs"])
    rest = {name: value for name, value in table.items() if name not in found}
    return {**found, "record": {**recipe.record, **rest}}


def _of_network(name: str, table: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Fields of a recipe, from the table of a stage that trains a network."""
    of_model, of_loop = _fields(CHOSEN[name].class_for(table)), _fields(LoopConfig)
    model = {key: value for key, value in table.items() if key in of_model}
    loop = {key: value for key, value in table.items() if key in of_loop}
    rest = {key: value for key, value in table.items() if key not in {*model, *loop}}
    before, old_loop = getattr(recipe, name), getattr(recipe, f"{name}_loop")
    found: dict[str, Any] = {f"{name}_loop": LoopConfig.from_json({**old_loop.to_json(), **loop})}
    if isinstance(before, JsonConfig):
        found[name] = CHOSEN[name].from_json({**before.to_json(), **model})
    elif before is None:
        found[name] = CHOSEN[name].from_json(model) if table else None
    else:
        found[name] = {**before, **model}
    if name == "latent_action":
        found["label_fraction"] = rest.pop("label_fraction", recipe.label_fraction)
    if name == "tokenizer":
        _require_none(name, {key: value for key, value in rest.items() if key not in _fields(AdversarialConfig)})
    found[f"{name}_training"] = {**getattr(recipe, f"{name}_training"), **rest}
    return found


def _fields(config_class: type[JsonConfig]) -> set[str]:
    return {each.name for each in dataclasses.fields(config_class)}


def _require_none(table: str, rest: dict[str, Any]) -> None:
    if rest:
        raise ValueError(f"{table}: unknown settings {sorted(rest)}")
