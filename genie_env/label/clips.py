"""The clips that are shown: a beginning of the world, then one latent action held, each as often as the others.

Knows nothing of answers and of how clips are shown.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

LEAD = 2
"""Steps before the action is held, under the code that does least."""


class Clip(NamedTuple):
    """One question."""

    code: int
    """Latent action that is held in it."""
    frames_THWC: np.ndarray
    """uint8, from the last frame before it was pressed."""


def codes_of(count: int, num_actions: int, seed: int) -> np.ndarray:
    """Which code [count] each clip shows: all of them in random order, again and again."""
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(num_actions) for _ in range(-(-count // num_actions))]
    return np.concatenate([np.zeros(0, np.int64), *rounds])[:count]


def dream_clip(env: gym.Env[Any, Any], number: int, code: int, steps: int, seed: int) -> Clip:
    """Dream clip ``number`` of a series: the same one whenever it is asked for.

    Args:
        env: of latent actions, that renders pictures.
        number: of the clip.
        code: latent action to hold.
        steps: for which it is held; fewer where the dream ends.
        seed: of the series.
    """
    game: Any = env.unwrapped
    env.reset(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
    for _ in range(LEAD):
        if any(env.step(game.noop_action or 0)[2:4]):
            env.reset()
    frames = [np.asarray(env.render())]
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(code)
        frames.append(np.asarray(env.render()))
        if terminated or truncated:
            break
    return Clip(code, np.stack(frames))
