"""No number and no text of a configuration can by itself cost memory, reach a terminal or make anything be imported."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from genie_env.config import (
    ActionMapConfig,
    DynamicsConfig,
    LatentActionConfig,
    OutcomeConfig,
    SamplingConfig,
    SourceConfig,
    TokenizerConfig,
    WorldConfig,
)
from genie_env.files.json_config import JsonConfig
from tests.helpers.worlds import random_config

KINDS = (TokenizerConfig, LatentActionConfig, DynamicsConfig, OutcomeConfig, SourceConfig, SamplingConfig)
SIZES = [(kind, field.name) for kind in KINDS for field in dataclasses.fields(kind) if field.type == "int"]


@pytest.mark.parametrize("value", [10**6, 10**9, 2**63, 10**40])
@pytest.mark.parametrize(("kind", "name"), SIZES, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_huge_size_is_refused_by_its_name(kind: type[JsonConfig], name: str, value: int) -> None:
    for make in (lambda: kind(**{name: value}), lambda: kind.from_json({name: value})):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: DynamicsConfig(side=256, group=1),
        lambda: DynamicsConfig(window=4096, width=1024, num_heads=8, num_layers=64),
        lambda: DynamicsConfig(side=64, group=1, window=1024),
        lambda: LatentActionConfig(image_size=1024, context_frames=64, channels=512),
        lambda: LatentActionConfig(image_size=1024, channels=1024),
        lambda: TokenizerConfig("fsq", 1024, 8, 64, (8, 8), 512),
        lambda: random_config(
            tokenizer=TokenizerConfig(image_size=1024, vocab_size=2**15),
            dynamics=DynamicsConfig(side=128, group=8, vocab_size=2**15),
            outcome=OutcomeConfig(num_tokens=128**2, vocab_size=2**15),
            sampling=SamplingConfig(max_changed=2**16),
        ),
    ],
)
def test_sizes_that_only_together_cost_memory_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"expected at most 268435456 numbers, got .* \* "):
        make()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize(
    ("kind", "name"), [(SourceConfig, "fps"), (SamplingConfig, "temperature"), (SamplingConfig, "top_p")]
)
def test_number_that_is_not_finite_or_far_out_is_refused(kind: type[JsonConfig], name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected a number"):
        kind(**{name: value})
    with pytest.raises(ValueError, match="rewards"):
        OutcomeConfig(rewards=(0.0, value))


def test_whole_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(ValueError, match=r"SamplingConfig\.temperature: expected a smaller number"):
        SamplingConfig.from_json({"temperature": 10**400})


@pytest.mark.parametrize(
    "env_id", ["os:system-v0", "my_module:ALE/Pong-v5", ":", "GymV26Environment-v0", "GymV21Environment-v0"]
)
def test_id_that_would_make_gymnasium_import_a_module_is_refused(env_id: str) -> None:
    with pytest.raises(ValueError, match=r"env_id: expected the id of a registered game, got .*--module"):
        SourceConfig(env_id)


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "line\nbreak", "\x00", "x" * 201, "\u202e"])
def test_text_that_could_command_a_terminal_is_refused(text: str) -> None:
    for make in (
        lambda: SourceConfig(text),
        lambda: SourceConfig(action_meanings=("A", text)),
        lambda: SourceConfig(keys={text: 0}),
        lambda: random_config(name=text),
    ):
        with pytest.raises(ValueError, match="printable"):
            make()


@pytest.mark.parametrize("levels", [(-8, -8), (1, 64), (64, 0), (2,) * 20, (10**30,)])
def test_levels_that_are_none_are_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="levels"):
        TokenizerConfig("fsq", vocab_size=64, levels=levels)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"patch_size": 1}, "power of two"),
        ({"image_size": 60, "patch_size": 12}, "power of two"),
        ({"channels": 12}, "multiple of 8"),
    ],
)
def test_settings_of_which_no_network_can_be_built_are_refused(fields: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        TokenizerConfig("fsq", vocab_size=64, levels=(8, 8), **fields)
    with pytest.raises(ValueError, match="channels"):
        LatentActionConfig(channels=7)


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ({"latent_action": LatentActionConfig(image_size=128)}, "latent_action.image_size"),
        ({"latent_action": LatentActionConfig(image_size=48)}, "latent_action.image_size"),
        ({"sampling": SamplingConfig(decode_steps=65)}, "decode_steps"),
    ],
)
def test_parts_that_cannot_work_together_are_refused(overrides: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        random_config(**overrides)


@pytest.mark.parametrize(
    "fields", [{"effects": (0, 1)}, {"effects": (0, 1, 3)}, {"effects": (0, 1, -1)}, {"keys": {"up": 3}}]
)
def test_tables_that_do_not_fit_the_actions_of_a_game_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        SourceConfig(action_meanings=("A", "B", "C"), **fields)


@pytest.mark.parametrize("crop", [(-1, 5, 0, 5), (5, 5, 0, 5), (0, 5, 5, 4), (0, 10**9, 0, 5)])
def test_crop_outside_of_any_picture_is_refused(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="crop"):
        SourceConfig(crop=crop)


def test_retired_field_is_ignored_and_an_unknown_one_is_not() -> None:
    plain = random_config().to_json()
    plain["action_map"]["by_features"] = [[1, 2], [3]]
    assert WorldConfig.from_json(plain) == random_config()
    assert "by_features" not in WorldConfig.from_json(plain).to_json()["action_map"]
    with pytest.raises(ValueError, match="by_feature'"):
        ActionMapConfig.from_json({**plain["action_map"], "by_feature": 1})
