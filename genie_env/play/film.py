"""Play without a window: the frames of a dream that a list of actions, or a policy, played. Knows no file formats."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random
from tqdm import tqdm

from genie_env.bundle import read_config
from genie_env.envs.dream_batch import DreamBatch
from genie_env.envs.options import EnvOptions
from genie_env.play.real_game import RealGameBeside
from genie_env.play.session import PlaySession
from genie_env.play.watched_agent import WatchedAgent
from genie_env.window.hud import Hud
from genie_env.window.renderer import Renderer


class Film(NamedTuple):
    """What was shown."""

    frames: list[np.ndarray]
    """Pictures uint8 [H, W, 3], the start included."""
    seconds: float
    """Seconds that stepping took."""
    points: str
    """Who scored what, for people; empty where no policy played."""


def film_actions(env: gym.Env[Any, Any], actions: Iterator[int], num_steps: int, seed: int) -> Film:
    """Play a list of actions; the frames are the environment's own.

    Raises:
        ValueError: if ``num_steps`` is below 1.
    """
    _require_steps(num_steps)
    env.reset(seed=seed)
    frames, seconds = [np.asarray(env.render())], 0.0
    for _ in _counted(num_steps):
        action = next(actions)
        began = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        seconds += time.perf_counter() - began
        frames.append(np.asarray(env.render()))
        if terminated or truncated:
            env.reset()
    return Film(frames, seconds, "")


def film_beam(
    world: str, options: EnvOptions, actions: Sequence[int], seed: int, beam: int
) -> tuple[list[np.ndarray], float]:
    """Play a list of actions in the most likely dream that a beam search finds: frames, joint log-probability in nats.

    It begins like an environment's dream of this seed, and goes on where a game ends. A beam of 1 is temperature 0.

    Args:
        world: bundled name, folder or ``hf://`` address.
        options: of the environment.
        actions: in the environment's action space.
        seed: of the environment.
        beam: dreams that are kept (:mod:`genie_env.rollout.beam`).

    Raises:
        ValueError: if the options contradict a beam, or so many dreams cannot be kept.
    """
    _require_steps(len(actions))
    if options.temperature or options.runtime == "onnx" or options.compile:
        asked = f"temperature {options.temperature}, runtime {options.runtime!r} and compile {options.compile}"
        raise ValueError(f"beam: expected temperature 0, runtime 'torch' and nothing compiled beside it, got {asked}")
    config = read_config(world)
    resolved = dataclasses.replace(options, runtime="torch", obs_type="rgb").resolved(config)
    dreams = DreamBatch(world, config, resolved, 1)
    dreams.reset_rows(np.zeros(1, dtype=np.int64), [np_random(seed)[0]], {})
    start_HWC, rolled = dreams.frames()[0], dreams.roll(np.array([actions]), beam)
    return [start_HWC, *rolled.frames_BTHWC[0]], float(rolled.log_prob_B[0])


def film_agent(
    env: gym.Env[Any, Any],
    agent: WatchedAgent,
    real_game: RealGameBeside | None,
    num_steps: int,
    seed: int,
    scale: int,
) -> Film:
    """Let a policy play the dream, and the real game beside it; points stand beneath pictures ``scale`` times as large.

    Raises:
        ValueError: if ``num_steps`` is below 1.
        ImportError: without pygame-ce, which draws the text.
    """
    _require_steps(num_steps)
    fps = float(env.metadata["render_fps"])
    session = PlaySession(env, Path(), fps, seed=seed, real_game=real_game, agent=agent)
    canvas, seconds = Renderer(scale), 0.0
    frames = [_picture(session, canvas)]
    for _ in _counted(num_steps):
        began = time.perf_counter()
        session.tick()
        seconds += time.perf_counter() - began
        frames.append(_picture(session, canvas))
    beside = "" if real_game is None else f", real game {real_game.total:+g}"
    return Film(frames, seconds, f"dream {session.game.counts.total:+g}{beside}")


def _picture(session: PlaySession, canvas: Renderer) -> np.ndarray:
    counts, real_game = session.game.counts, session.real_game
    if real_game is None:
        return canvas.draw(session.frame_HWC, Hud(player="agent", step=counts.step, total=counts.total))
    hud = Hud(player="agent", total=counts.total, real_total=real_game.total)
    return canvas.draw_pair(real_game.frame_HWC, session.frame_HWC, hud)


def _require_steps(num_steps: int) -> None:
    if num_steps < 1:
        raise ValueError(f"steps: expected a whole number >= 1, got {num_steps}")


def _counted(num_steps: int) -> tqdm[int]:
    return tqdm(range(num_steps), desc="dreaming", unit="step", leave=False, disable=None)
