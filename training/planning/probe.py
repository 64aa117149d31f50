"""A first look at a game: a few seconds of play by players that know nothing, and what they saw.

Owns the play and what is counted in it. Chooses nothing; see :mod:`training.planning.plan`.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from genie_env.command import WRONG_INPUT
from genie_env.config import SourceConfig
from genie_env.games.players import BiasedPlayer, StickyRandomPlayer
from genie_env.games.recorded_source import frame_rate, without_sticky_actions
from genie_env.games.source_game import SourceGame, make_source_game, register_namespace

PROBE_STEPS = 3000
PROBE_SECONDS = 12.0
PICTURE_EVERY = 7
"""Steps between the pictures kept; a prime, so that what repeats does not hide."""
MOST_PICTURES = 400
_Played = tuple[list[np.ndarray], set[float], list[int], int, float]


@dataclass(frozen=True)
class GameProbe:
    """What a few thousand steps of a game showed."""

    source: SourceConfig
    """The game as it will be recorded: whole picture, sticky actions off, its own frame rate."""
    pictures_MHWC: np.ndarray
    """uint8, pictures of the game itself, before any crop."""
    rewards: tuple[float, ...]
    """Distinct rewards, ascending; 0 is always among them."""
    episode_steps: tuple[int, ...]
    """Lengths of the episodes that ended."""
    num_steps: int
    steps_per_second: float
    was_sticky: bool
    """Whether the game repeats actions at random by default; it is made without."""
    tells_state: bool = False
    """Whether the game tells its players more than its picture, from which a learner learns without drawing."""

    @property
    def typical_episode(self) -> int:
        """Median length of an episode in steps; the steps played where none ended."""
        return int(np.median(self.episode_steps)) if self.episode_steps else self.num_steps


def probe_game(env_id: str, env_kwargs: dict[str, Any] | None = None, seed: int = 0) -> GameProbe:
    """Play ``env_id`` for some seconds with random players.

    Raises:
        ImportError, ValueError, gymnasium.error.Error: if the game cannot be made, shows no picture, or itself fails.
    """
    register_namespace(env_id)
    kwargs, was_sticky = without_sticky_actions(env_id, env_kwargs or {})
    # A frame of one pixel: the probe looks at the game's own pictures.
    source = SourceConfig(env_id=env_id, env_kwargs=kwargs, image_size=8)
    game = make_source_game(source)
    try:
        names = tuple(game.get_action_meanings())
        pictures, rewards, lengths, steps, seconds = _try(game, np.random.default_rng(seed))
        fps, tells_state = frame_rate(game), game.state_space is not None
    finally:
        game.close()
    source = dataclasses.replace(source, action_meanings=names, effects=tuple(range(len(names))), fps=fps)
    return GameProbe(
        source,
        np.stack(pictures),
        tuple(sorted(rewards)),
        tuple(lengths),
        steps,
        steps / seconds,
        was_sticky,
        tells_state,
    )


def _try(game: SourceGame, rng: np.random.Generator) -> _Played:
    try:
        return _play(game, rng)
    except WRONG_INPUT:
        raise
    except Exception as error:
        # Anything may go wrong in somebody else's game, a missing package that it only warned of above all.
        raise ValueError(
            f"{game.source.env_id}: the game itself failed as it was played: {type(error).__name__}: {error}"
        ) from error


def _play(game: SourceGame, rng: np.random.Generator) -> _Played:
    """Pictures, distinct rewards, lengths of episodes, steps and seconds."""
    count = int(game.action_space.n)  # type: ignore[attr-defined]
    players = [BiasedPlayer(count, rng), StickyRandomPlayer(count, rng)]
    game.reset(seed=int(rng.integers(2**31)))
    pictures, rewards, lengths, length = [game.picture()], {0.0}, [], 0
    began = time.perf_counter()
    step = 0
    while step < PROBE_STEPS and time.perf_counter() - began < PROBE_SECONDS:
        step += 1
        _, reward, terminated, truncated, _ = game.step(players[len(lengths) % 2].act(None))
        length += 1
        if len(rewards) < 1000:
            rewards.add(float(reward))
        if step % PICTURE_EVERY == 0 and len(pictures) < MOST_PICTURES:
            pictures.append(game.picture())
        if terminated or truncated:
            lengths.append(length)
            length = 0
            players[len(lengths) % 2].reset()
            game.reset(seed=int(rng.integers(2**31)))
    return pictures, rewards, lengths, step, max(1e-3, time.perf_counter() - began)
