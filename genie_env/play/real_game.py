"""The real game led beside a dream: one beginning, and every action played in both.

Owns the game and the way back to an earlier place in it. Knows nothing of windows and keys, nor of the dream beside it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from genie_env.action_map import real_action
from genie_env.config import WorldConfig
from genie_env.games.source_game import make_source_game


class RealGamePlace(NamedTuple):
    """Where a game stands: its seed and every action since. Any seeded game comes back there by playing them."""

    seed: int
    actions: tuple[int, ...]


class RealGameBeside:
    """The source game of a world, driven by the actions of a dream."""

    def __init__(self, config: WorldConfig, action_type: str, game: gym.Env[Any, Any] | None = None) -> None:
        """Make the game.

        Args:
            config: of the world.
            action_type: of the actions given to :meth:`step`.
            game: with frames as observations, instead of the one the world names.

        Raises:
            ImportError: if the game is not installed; the message names the extra.
            ValueError: if the world names no game or one that is not registered, or latent actions have no real ones.
        """
        if action_type == "latent" and config.action_map is None:
            raise ValueError("real game: this world has no action map, so its latent actions cannot be played there")
        self._mapped = config.action_map if action_type == "latent" else None
        try:
            self._game = game or make_source_game(config.source)
        except gym.error.Error as error:
            raise ValueError(f"real game: {config.source.env_id} cannot be made here: {error}") from error
        self._lead = config.dynamics.window
        self._rng = np.random.default_rng()
        self._seed, self._actions = 0, list[int]()
        self._over = False

    def reset(self, seed: int | None = None) -> np.ndarray:
        """Begin a game and let it stand for as long as a world can remember.

        Returns:
            uint8 [T, H, W, 3], what it showed meanwhile: the prompt with which the dream begins at the same place.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        clip = [self._begin(int(self._rng.integers(2**31)))]
        while len(clip) < self._lead and not self._over:
            self._play(0)
            clip.append(self.frame_HWC)
        return np.stack(clip)

    def step(self, action: int) -> None:
        """Play what the dream played; a game that is over stands still."""
        self._play(real_action(self._mapped, action, self._actions[-1] if self._actions else -1))

    def snapshot(self) -> RealGamePlace:
        """Where the game stands, for :meth:`restore`."""
        return RealGamePlace(self._seed, tuple(self._actions))

    def restore(self, place: RealGamePlace) -> None:
        """Go back to a snapshot."""
        self._begin(place.seed)
        for action in place.actions:
            self._play(action)

    def close(self) -> None:
        """Close the game."""
        self._game.close()

    def _begin(self, seed: int) -> np.ndarray:
        self._seed, self._actions, self._over = seed, [], False
        self.total = 0.0
        """Sum of the game's rewards."""
        self.frame_HWC: np.ndarray = self._game.reset(seed=seed)[0]
        return self.frame_HWC

    def _play(self, action: int) -> None:
        if not self._over:
            self.frame_HWC, reward, terminated, truncated, _ = self._game.step(action)
            self.total += float(reward)
            self._actions.append(action)
            self._over = terminated or truncated
