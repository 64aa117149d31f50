"""Owns the Gymnasium ids. Knows entry points as strings only, so that registering imports no torch."""

from __future__ import annotations

import gymnasium as gym

_ENTRY_POINTS = {
    "entry_point": "genie_env.env:GenieEnv",
    "vector_entry_point": "genie_env.vector_env:GenieVectorEnv",
}


def register_envs() -> None:
    """Register ``Genie/Pong-v0`` (the bundled world) and ``Genie/World-v0`` (any ``world=``). Idempotent."""
    if "Genie/Pong-v0" in gym.registry:
        return
    gym.register(id="Genie/Pong-v0", kwargs={"world": "pong"}, max_episode_steps=27_000, **_ENTRY_POINTS)
    gym.register(id="Genie/World-v0", max_episode_steps=27_000, **_ENTRY_POINTS)
