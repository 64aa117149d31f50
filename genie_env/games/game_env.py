"""The real game behind a recording as an environment of its own, which a JSON-plain description makes again."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from genie_env.config import SourceConfig
from genie_env.games.source_game import make_source_game


class GameEnv(gym.Env[np.ndarray, np.int64]):
    """``gym.make("Genie/Game-v0", source=…)``: the game, seen as its recordings and worlds see it.

    Observations are frames uint8 [size, size, 3], actions are numbered from 0; rewards and ends are the game's.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 15}  # type: ignore[misc]

    def __init__(self, source: dict[str, Any], render_mode: str | None = None) -> None:
        """Make the game.

        Args:
            source: a :class:`~genie_env.config.SourceConfig` as JSON.
            render_mode: None or ``"rgb_array"``: the frame.

        Raises:
            ValueError: if ``source`` is none, or the game cannot serve as one.
            ImportError: if the game is not installed; the message names the extra.
        """
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode: expected None or 'rgb_array', got {render_mode!r}")
        self._game = make_source_game(SourceConfig.from_json(source))
        self.render_mode = render_mode
        self.action_space, self.observation_space = self._game.action_space, self._game.observation_space
        self._frame_HWC = np.zeros(self._game.observation_space.shape or (), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a game."""
        super().reset(seed=seed)
        self._frame_HWC, info = self._game.reset(seed=seed, options=options)
        return self._frame_HWC, info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one action."""
        self._frame_HWC, reward, terminated, truncated, info = self._game.step(action)
        return self._frame_HWC, reward, terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 [H, W, 3], or None without a render mode."""
        return self._frame_HWC.copy() if self.render_mode == "rgb_array" else None

    def get_action_meanings(self) -> list[str]:
        """Names of the actions."""
        return self._game.get_action_meanings()

    def close(self) -> None:
        """Close the game."""
        self._game.close()
