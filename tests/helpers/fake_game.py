"""A stand-in for a Genie environment: a white dot that moves up and down, exact and instant.

Run as ``python -m tests.helpers.fake_game FOLDER`` it is played in a window, for the test with a real display.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from genie_env.envs.episode_counts import EpisodeCounts

SIZE = 32
DOT_X = 9
START_Y = 20
NOOP, UP, DOWN, JUMP = 0, 1, 2, 3
MOVES = {NOOP: 0, UP: -1, DOWN: +1, JUMP: -3}
COLOUR = (40, 90, 30)


def picture(y: int) -> np.ndarray:
    """The frame with the dot in row ``y``."""
    frame_HWC = np.empty((SIZE, SIZE, 3), np.uint8)
    frame_HWC[:] = COLOUR
    frame_HWC[y, DOT_X] = 255
    return frame_HWC


class FakeGame(gym.Env[np.ndarray, np.int64]):
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space = gym.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = gym.spaces.Discrete(4)
    render_mode = "rgb_array"
    noop_action = NOOP

    def __init__(self, length: int = 10**9) -> None:
        self.length, self.counts = length, EpisodeCounts()
        self.temperature, self.action_diversity = 1.0, 0.0
        self.y, self.time = START_Y, 0
        self.actions: list[int] = []
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.y, self.time, self.counts = START_Y, 0, self.counts.begun()
        self.seeds.append(seed)
        return picture(self.y), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.actions.append(int(action))
        self.y = int(np.clip(self.y + MOVES[int(action)], 0, SIZE - 1))
        self.time += 1
        info = {"action": int(action), "latent_action": int(action), "entropy": 0.25, "step": self.time}
        self.counts = self.counts.stepped(1.0, info)
        return picture(self.y), 1.0, self.time >= self.length, False, info

    def render(self) -> np.ndarray:
        return picture(self.y)

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "UP", "DOWN", "JUMP"]

    action_effects = ()

    def get_keys_to_action(self) -> dict[tuple[str | int, ...], int]:
        return {("up",): UP, ("w",): UP, ("down",): DOWN, ("up", "space"): JUMP}

    def snapshot(self) -> tuple[int, int, EpisodeCounts]:
        return self.y, self.time, self.counts

    def restore(self, state: tuple[int, int, EpisodeCounts]) -> None:
        self.y, self.time, self.counts = state


if __name__ == "__main__":
    from genie_env.play.loop import play

    play(FakeGame(), scale=8, out=sys.argv[1])
