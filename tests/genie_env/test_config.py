"""Configurations turn into JSON and back, and refuse with a typed error whatever they do not know."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from genie_env.config import (
    TOKENIZER_KINDS,
    ActionMapConfig,
    DynamicsConfig,
    LatentActionConfig,
    OutcomeConfig,
    SamplingConfig,
    SourceConfig,
    TokenizerConfig,
    WorldConfig,
)
from genie_env.envs.options import EnvOptions, check_reset_options
from genie_env.files.json_config import JsonConfig
from tests.helpers.worlds import random_config
from training.recipes import RECIPES

CONFIGS: list[JsonConfig] = [
    TokenizerConfig(),
    TokenizerConfig(kind="fsq", vocab_size=60, levels=(5, 4, 3)),
    LatentActionConfig(),
    DynamicsConfig(),
    OutcomeConfig(rewards=(-1.5, 0.0)),
    SourceConfig(
        "Game-v0",
        env_kwargs={"a": [1, {"b": None}], "c": 0.5},
        crop=(0, 200, 0, 160),
        action_meanings=("A", "B"),
        effects=(0, 0),
        keys={"up": 1},
    ),
    SamplingConfig(0.0, 0.5, 4),
    random_config(metrics={"psnr": 45.5, "nested": {"list": [1, 2]}}),
    random_config(action_map=None),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_configuration_survives_json(config: JsonConfig) -> None:
    plain = json.loads(json.dumps(config.to_json()))
    again = type(config).from_json(plain)
    assert again == config and json.loads(json.dumps(again.to_json())) == plain


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_configuration_cannot_be_changed(config: JsonConfig) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, None)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_every_field_of_a_wrong_type_is_named(config: JsonConfig) -> None:
    plain = config.to_json()
    for name, value in plain.items():
        for wrong in ({"surprise": object}, object(), None if value is not None else "text"):
            if name in ("env_kwargs", "metrics") and isinstance(wrong, dict):
                continue
            if wrong is None and name in ("crop", "action_map"):
                continue
            with pytest.raises(ValueError, match=name if isinstance(value, (int, str)) else None):
                type(config).from_json({**plain, name: wrong})


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(ValueError, match=r"DynamicsConfig.*'widht'"):
        DynamicsConfig.from_json({"widht": 3})
    plain = random_config().to_json()
    del plain["tokenizer"]
    with pytest.raises(ValueError, match=r"WorldConfig.*tokenizer"):
        WorldConfig.from_json(plain)
    for data in (None, [], "x", 3):
        with pytest.raises(ValueError, match="expected an object"):
            DynamicsConfig.from_json(data)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (DynamicsConfig, {"width": True}),
        (DynamicsConfig, {"width": 1.0}),
        (SamplingConfig, {"temperature": True}),
        (SamplingConfig, {"temperature": "1"}),
        (SourceConfig, {"crop": [1, 2, 3]}),
        (SourceConfig, {"crop": [1, 2, 3, 4.5]}),
        (SourceConfig, {"keys": {"up": "1"}}),
        (SourceConfig, {"effects": 3}),
    ],
)
def test_value_of_a_near_type_is_refused(kind: type[JsonConfig], fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        kind.from_json(fields)


def test_whole_number_serves_as_a_float() -> None:
    assert SamplingConfig.from_json({"temperature": 1}).temperature == 1.0
    assert isinstance(SamplingConfig.from_json({"temperature": 1}).temperature, float)


SIZES = [
    (kind, field.name)
    for kind in (TokenizerConfig, LatentActionConfig, DynamicsConfig, OutcomeConfig, SourceConfig)
    for field in dataclasses.fields(kind)
    if field.type == "int" and field.name != "head_layers"
]


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(("kind", "name"), SIZES, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_size_below_one_is_refused(kind: type[JsonConfig], name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        kind(**{name: value})


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (TokenizerConfig, {"kind": "jpeg"}, "jpeg"),
        (TokenizerConfig, {"image_size": 60}, "multiple of patch_size"),
        (TokenizerConfig, {"kind": "fsq", "vocab_size": 61, "levels": (5, 4, 3)}, "61"),
        (TokenizerConfig, {"kind": "fsq"}, "levels"),
        (LatentActionConfig, {"num_actions": 1}, "2 to 8"),
        (LatentActionConfig, {"num_actions": 9}, "2 to 8"),
        (DynamicsConfig, {"group": 3}, "group"),
        (DynamicsConfig, {"width": 101}, "heads"),
        (DynamicsConfig, {"width": 15}, "even"),
        (SamplingConfig, {"temperature": -0.1}, "temperature"),
        (SamplingConfig, {"temperature": float("nan")}, "temperature"),
        (SamplingConfig, {"top_p": 0.0}, "top_p"),
        (SamplingConfig, {"top_p": 1.1}, "top_p"),
        (SamplingConfig, {"decode_steps": 0}, "decode_steps"),
    ],
)
def test_senseless_settings_are_refused(kind: type[JsonConfig], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**fields)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"tokenizer": TokenizerConfig(vocab_size=33)}, "vocab_size"),
        ({"outcome": OutcomeConfig(vocab_size=32, num_tokens=16)}, "tokens per frame"),
        ({"latent_action": LatentActionConfig(num_actions=4)}, "num_actions"),
        ({"format_version": 99}, "format"),
    ],
)
def test_parts_of_a_world_that_disagree_are_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_config(**overrides)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_parts_of_a_recipe_fit_together(name: str) -> None:
    recipe = RECIPES[name]
    dynamics, outcome = recipe.dynamics_config(), recipe.outcome_config()
    random_config(
        tokenizer=recipe.tokenizer,
        latent_action=LatentActionConfig.from_json(recipe.latent_action.to_json()),
        dynamics=dynamics,
        outcome=outcome,
        action_map=None,
        sampling=recipe.sampling,
    )
    json.loads(recipe.env_kwargs)


DEFAULTS: dict[str, Any] = {
    "temperature": None,
    "top_p": None,
    "action_diversity": 0.0,
    "diversity_window": 5,
    "action_type": None,
    "obs_type": "rgb",
    "decode_steps": None,
    "device": "cpu",
}


def test_options_left_out_are_the_worlds_own() -> None:
    own = random_config(sampling=SamplingConfig(0.7, 0.8, 3))
    options = EnvOptions(**DEFAULTS).resolved(own)
    assert options.temperature == 0.7 and options.sampling == own.sampling and options.action_type == "real"
    assert EnvOptions(**DEFAULTS).resolved(random_config(action_map=None)).action_type == "latent"
    assert EnvOptions(**{**DEFAULTS, "temperature": 0}).resolved(own).temperature == 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (-0.1, float("nan"), float("inf"), "1", True, [1.0])),
        *(("top_p", value) for value in (0, 1.1, float("nan"), "1", False)),
        *(("action_diversity", value) for value in (-0.1, 1.1, float("nan"), None, "0")),
        *(("diversity_window", value) for value in (0, -1, 2.0, True, None, "5")),
        *(("decode_steps", value) for value in (0, -1, 1.5, True, "1")),
        *(("action_type", value) for value in ("", "Real", 0, False, ["real"])),
        *(("obs_type", value) for value in ("", "RGB", None, 0, ["rgb"])),
    ],
)
def test_bad_option_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        EnvOptions(**{**DEFAULTS, name: value}).resolved(random_config())
    assert name in str(caught.value) and repr(value) in str(caught.value)


def test_real_actions_need_an_action_map() -> None:
    with pytest.raises(ValueError, match=r"action_type.*no action map"):
        EnvOptions(**{**DEFAULTS, "action_type": "real"}).resolved(random_config(action_map=None))


def test_reset_options_are_copied_and_unknown_ones_named() -> None:
    mine = {"start": 3}
    assert check_reset_options(mine) == mine and check_reset_options(mine) is not mine
    assert check_reset_options(None) == {}
    with pytest.raises(ValueError, match="'strat'"):
        check_reset_options({"strat": 3})


def test_map_of_recorded_actions_is_their_effects() -> None:
    mapped = ActionMapConfig.from_effects((0, 0, 1, 2, 1, 2), 4)
    assert mapped.real_to_latent == (0, 0, 1, 2, 1, 2) and mapped.latent_to_real == (0, 2, 3, 0)
    assert mapped.purity == (1.0, 1.0, 1.0, 0.0) and mapped.num_labels == 0 and mapped.agreement is None
    with pytest.raises(ValueError, match="effects: expected values from 0 to 1"):
        ActionMapConfig.from_effects((0, 1, 2), 2)


@pytest.mark.parametrize("config_class", [TokenizerConfig, DynamicsConfig])
def test_unknown_kind_names_itself_and_what_to_do(config_class: type[JsonConfig]) -> None:
    with pytest.raises(ValueError, match=r"kind: expected one of .*'nobodys'; import the module that registers it"):
        config_class.from_json({"kind": "nobodys"})
    with pytest.raises(ValueError, match="kind: expected str"):
        config_class.from_json({"kind": ["codebook"]})


def test_settings_of_a_kind_are_read_into_its_own_class(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class Striped(TokenizerConfig):
        stripes: int = 2

    monkeypatch.setitem(TOKENIZER_KINDS, "striped", Striped)
    config = TokenizerConfig.from_json({"kind": "striped", "vocab_size": 9, "stripes": 5})
    assert config == Striped("striped", vocab_size=9, stripes=5)
    world = random_config(tokenizer=dataclasses.replace(config, vocab_size=32))
    assert WorldConfig.from_json(json.loads(json.dumps(world.to_json()))) == world


def test_paths_and_choices_survive_json_and_are_checked() -> None:
    @dataclasses.dataclass(frozen=True)
    class Choice(JsonConfig):
        folder: Path | None = None
        side: Literal["left", "right"] = "left"

    assert Choice.from_json(Choice(Path("a") / "b", "right").to_json()) == Choice(Path("a/b"), "right")
    with pytest.raises(ValueError, match=r"side: expected one of \['left', 'right'\], got 'up'"):
        Choice.from_json({"side": "up"})
    with pytest.raises(ValueError, match="folder"):
        Choice.from_json({"folder": 3})
