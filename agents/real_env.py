"""The source game of a world, with exactly the observations and actions of the dream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from genie_env.bundle import read_config
from genie_env.games.source_game import make_source_game
from genie_env.world import World


def make_real_env(world: World | str | Path, render_mode: str | None = None) -> gym.Env[np.ndarray, Any]:
    """Make the real game behind ``world``.

    It has the world's crop, size, frame skip, observation space (``obs_type="rgb"``) and the action space of
    ``action_type="real"``, so that a policy moves between dream and game unchanged.

    Args:
        world: an opened world, a bundled name, or a folder.
        render_mode: render mode of the game itself; observations need none.

    Raises:
        ImportError: if the game's package is not installed; the message names the extra.
        ValueError: if there is no such world, or it names no source game.
    """
    config = world.config if isinstance(world, World) else read_config(world)
    overrides = {} if render_mode is None else {"render_mode": render_mode}
    return make_source_game(config.source, **overrides)
