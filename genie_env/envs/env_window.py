"""The window of an environment: its frames and figures, at the pace of its game. Imported when a window is wanted."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from genie_env.effect_names import ActionEffect
from genie_env.envs.episode_counts import EpisodeCounts
from genie_env.window.frame_clock import FrameClock
from genie_env.window.hud import Hud
from genie_env.window.renderer import Renderer


class Played(Protocol):
    """What figures are made from: a Genie environment."""

    @property
    def temperature(self) -> float:
        """Sampling temperature."""
        ...

    @property
    def action_diversity(self) -> float:
        """Probability that an action is replaced."""
        ...

    @property
    def counts(self) -> EpisodeCounts:
        """Where the episode stands."""
        ...

    @property
    def action_effects(self) -> tuple[ActionEffect, ...]:
        """What each action does to the picture, where that was measured."""
        ...

    def get_action_meanings(self) -> list[str]:
        """Names of the actions."""
        ...


def hud_of(game: Played, fps: float, message: str | None = None, urgent: bool = False) -> Hud:
    """The bar of an environment, as both its own window and ``genie-env play`` show it.

    Args:
        game: whose figures are shown.
        fps: measured frames per second.
        message: line below the figures.
        urgent: whether the message stands out.
    """
    counts = game.counts
    return Hud(
        episode=counts.episode,
        step=counts.step,
        reward=counts.reward,
        total=counts.total,
        action=game.get_action_meanings()[counts.action] if counts.action >= 0 else "–",
        temperature=game.temperature,
        action_diversity=game.action_diversity,
        entropy=counts.entropy,
        fps=fps,
        effects=game.action_effects,
        played=counts.action,
        message=message,
        urgent=urgent,
    )


class EnvWindow:
    """Shows the frames of an environment with ``render_mode="human"`` and waits until the next one is due."""

    def __init__(self, title: str, fps: float) -> None:
        self._renderer, self._clock = Renderer(title=title, window=True), FrameClock(fps)

    def show(self, game: Played, frame_HWC: np.ndarray, with_hud: bool = True) -> None:
        """Show a frame, uint8 [H, W, 3], with the figures of ``game`` beneath it.

        Raises:
            NoDisplayError: if no window can be opened.
        """
        self._renderer.draw(frame_HWC, hud_of(game, self._clock.rate) if with_hud else None)
        self._clock.wait()

    def close(self) -> None:
        """Close the window."""
        self._renderer.close()
