"""A recipe as a TOML file, with every setting written out, which :func:`training.recipes.read_recipe` reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tomli_w

from genie_env.files.atomic import write_text
from training.recipes.recipe import Recipe

HEAD = "# Every setting of a world's training: `genie-env learn FILE` makes it again.\n"


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write ``recipe``, the file whole or not at all.

    Its Python module is no part of the file: whoever makes the world names it (``--module``).
    """
    write_text(path, HEAD + tomli_w.dumps(recipe_tables(recipe)))


def recipe_tables(recipe: Recipe) -> dict[str, Any]:
    """The tables of the file: one for each stage, with the flags of its command."""
    plain = recipe.to_json()
    env_kwargs = json.loads(plain["env_kwargs"])
    tables: dict[str, Any] = {
        "record": {"env": plain["env"], "steps": plain["steps"], "env_kwargs": env_kwargs, **plain["record"]},
        "tokenizer": {**plain["tokenizer"], **plain["tokenizer_loop"], **plain["tokenizer_training"]},
        "tokenize": {"recorded_actions": plain["recorded_actions"], **plain["tokenize"]},
        "dynamics": {**plain["dynamics"], **plain["dynamics_loop"], **plain["dynamics_training"]},
        "outcome": {**plain["outcome"], **plain["outcome_loop"], **plain["outcome_training"]},
        "export": plain["export"],
        "sampling": plain["sampling"],
        "latent_action": False,
    }
    if plain["latent_action"] is not None:
        tables["latent_action"] = {
            **plain["latent_action"],
            **plain["latent_action_loop"],
            **plain["latent_action_training"],
            "label_fraction": plain["label_fraction"],
        }
    if plain["game"] is not None:
        tables["game"] = plain["game"]
    return _without_none(tables)


def _without_none(value: Any) -> Any:
    """TOML knows no null: a setting that is None is one that is not written."""
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value
