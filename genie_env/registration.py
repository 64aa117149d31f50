"""Owns the Gymnasium ids. Knows entry points as strings only, so that registering imports no torch."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

BUNDLED = {"Genie/Pong-v0": "pong", "Genie/Breakout-v0": "breakout"}
"""Ids of the bundled worlds."""
ANY = "Genie/World-v0"
"""Id of whatever world ``world=`` names."""
REMOTE = "Genie/Remote-v0"
"""Id of a world on a server, which ``url=`` names."""
GAME = "Genie/Game-v0"
"""Id of the real game behind a recording or a world, which ``source=`` describes."""
CLUSTER = "Genie/Cluster-v0"
"""Id of rows of dreams on the machines of a Ray cluster."""
_ENTRY_POINTS: dict[str, Any] = {
    "entry_point": "genie_env.envs.env:GenieEnv",
    "vector_entry_point": "genie_env.envs.vector_env:GenieVectorEnv",
}
_REMOTE_ENTRY_POINTS: dict[str, Any] = {
    "entry_point": "genie_env.remote.client:RemoteEnv",
    "vector_entry_point": "genie_env.remote.client:RemoteVectorEnv",
}


def register_envs() -> None:
    """Register the ids of :data:`BUNDLED` and of the constants above. Idempotent."""
    if ANY in gym.registry:
        return
    for name, world in BUNDLED.items():
        gym.register(id=name, kwargs={"world": world}, max_episode_steps=27_000, **_ENTRY_POINTS)
    gym.register(id=ANY, max_episode_steps=27_000, **_ENTRY_POINTS)
    gym.register(id=REMOTE, max_episode_steps=27_000, **_REMOTE_ENTRY_POINTS)
    gym.register(id=GAME, entry_point="genie_env.games.game_env:GameEnv")
    gym.register(
        id=CLUSTER, vector_entry_point="genie_env.cluster.vector_env:ClusterVectorEnv", max_episode_steps=27_000
    )
