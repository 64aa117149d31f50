"""A person plays an environment by keyboard. Owns the loop: events in, a tick, a picture out, at the right time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from genie_env.play.session import UNPACED_FPS, PlaySession
from genie_env.window.display import require_pygame_ce
from genie_env.window.frame_clock import FrameClock
from genie_env.window.renderer import Renderer

if TYPE_CHECKING:
    from genie_env.play.play_recorder import PlayRecorder
    from genie_env.play.real_game import RealGameBeside
    from genie_env.play.watched_agent import WatchedAgent


def play(
    env: gym.Env[Any, Any],
    *,
    fps: float | None = None,
    scale: int = 8,
    renderer: Renderer | None = None,
    max_steps: int | None = None,
    seed: int | None = None,
    out: Path | str = ".",
    recorder: PlayRecorder | None = None,
    real_game: RealGameBeside | None = None,
    agent: WatchedAgent | None = None,
    hud: bool = True,
) -> None:
    """Let a person play until they quit; two seconds after an episode is over the next begins.

    Args:
        env: a Genie environment with ``render_mode="rgb_array"``; it stays open.
        fps: steps per second; None takes the world's, 0 runs as fast as possible.
        scale: how many times larger than frames the window (at first), screenshots and films are.
        renderer: where to draw; None opens a window of its own and closes it afterwards.
        max_steps: stop after that many steps.
        seed: of the first reset.
        out: folder for screenshots and films.
        recorder: receives every step; it stays open.
        real_game: the real game, to be shown beside the dream; it stays open.
        agent: a policy that plays until a person takes over.
        hud: whether the bar of text is there at first.

    Raises:
        ValueError: if the environment renders no pictures, or ``fps`` is negative.
        ImportError: without pygame-ce.
        NoDisplayError: if no window can be opened.
    """
    require_pygame_ce()
    import pygame

    fps = float(env.metadata.get("render_fps", UNPACED_FPS)) if fps is None else fps
    if fps < 0:
        raise ValueError(f"fps: expected a number >= 0, got {fps!r}")
    session = PlaySession(env, Path(out), fps, scale, seed, recorder, real_game, agent)
    session.show_hud = hud
    canvas = renderer or Renderer(scale, window=True)
    try:
        session.draw(canvas, 0.0)
        frame_clock = FrameClock(fps)
        while not session.finished and (max_steps is None or session.num_steps < max_steps):
            for event in pygame.event.get() if pygame.display.get_init() else ():
                session.handle(event)
            session.tick()
            session.draw(canvas, frame_clock.rate)
            frame_clock.wait(UNPACED_FPS if session.idle else 0.0)
    finally:
        session.close()
        if renderer is None:
            canvas.close()
