"""Genie Env: play inside a learned world, through the Gymnasium API.

Importing this package registers the ids ``Genie/Pong-v0``, ``Genie/Breakout-v0`` and ``Genie/World-v0``, and
imports no torch; models are loaded when an environment is made or a world is opened.

Axis letters used in tensor names throughout the project (``frames_BTHWC``, ``tokens_BTN``, …):

====== ==========================================================
letter meaning
====== ==========================================================
B      rows of a batch (one row is one environment or one clip)
T      time, in environment steps
H W C  height, width and channels of a picture (channels last)
N      tokens of one frame
G      groups of neighbouring tokens: the transformer's positions
V      vocabulary of the tokenizer
A      actions
D      width of a feature vector
====== ==========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genie_env.registration import register_envs

if TYPE_CHECKING:
    from genie_env.bundle import load_world as load_world
    from genie_env.bundle import save_world as save_world
    from genie_env.world import World as World

__version__ = "0.1.0"
__all__ = ["World", "__version__", "load_world", "register_envs", "save_world"]

_LAZY = {
    "load_world": "genie_env.bundle",
    "save_world": "genie_env.bundle",
    "World": "genie_env.world",
}


def __getattr__(name: str) -> Any:
    """Import the torch-backed names on first use, so that ``import genie_env`` stays instant."""
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'genie_env' has no attribute {name!r}")


register_envs()
