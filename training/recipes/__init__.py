"""Recipes by name. One of your own is a TOML file, or registered by a module that ``--module`` imports."""

from __future__ import annotations

from pathlib import Path

from training.recipes.breakout import BREAKOUT
from training.recipes.pong import PONG, PONG_UNLABELLED
from training.recipes.recipe import Recipe, read_recipe
from training.recipes.written import write_recipe

__all__ = ["RECIPES", "Recipe", "find_recipe", "read_recipe", "register_recipe", "write_recipe"]

RECIPES: dict[str, Recipe] = {"pong": PONG, "pong_unlabelled": PONG_UNLABELLED, "breakout": BREAKOUT}


def register_recipe(name: str, recipe: Recipe) -> None:
    """Make a recipe known by name; a later one of the same name replaces it.

    Raises:
        ValueError: if the name is empty, or looks like that of a file.
    """
    if not name or name.endswith(".toml") or "/" in name:
        raise ValueError(f"recipe: expected a name that is none of a file, got {name!r}")
    RECIPES[name] = recipe


def find_recipe(name: str) -> Recipe:
    """The recipe of that name, or in that TOML file.

    Raises:
        ValueError: if there is none, or the file holds none.
    """
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".toml"):
        return read_recipe(Path(name), RECIPES)
    raise ValueError(f"recipe: expected one of {sorted(RECIPES)} or a .toml file, got {name!r}")
