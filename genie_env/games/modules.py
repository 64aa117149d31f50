"""Python modules that bring games, imported because their user named them, never because a file did."""

from __future__ import annotations

import importlib

_IMPORTED: set[str] = set()
"""What was imported before: registering twice makes Gymnasium warn of every game."""


def import_games(module: str) -> None:
    """Import a module that registers games, networks or recipes; the empty name imports nothing.

    Packages that register nothing on import but have a function ``register_envs``, as MinAtar has in ``minatar.gym``,
    have it called.

    Args:
        module: dotted name, given by the caller on a command line or in Python.

    Raises:
        ImportError: if there is no such module.
    """
    if not module or module in _IMPORTED:
        return
    register = getattr(importlib.import_module(module), "register_envs", None)
    if callable(register):
        register()
    _IMPORTED.add(module)
