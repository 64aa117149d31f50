"""A game as recordings show it: the one configuration that every command which records plays by.

Owns how the flags of such a command become a :class:`SourceConfig`, completed from what the game itself says. Knows
nothing about players or files.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import gymnasium as gym

from genie_env.config import SourceConfig
from genie_env.games.modules import import_games
from genie_env.games.registry import game_for, known_games
from genie_env.games.source_game import SourceGame, make_source_game, register_namespace

ATARI_RATE = 60.0
"""Frames that the console draws in a second."""
STICKY = "repeat_action_probability"
"""Keyword argument of Atari games: how often the game repeats the last action instead of the player's."""
STICKY_OF = {"MinAtar": ("sticky_action_prob", 0.1)}
"""The same of games in other namespaces: keyword argument and the default that their ids do not say."""


def recorded_source(
    env_id: str,
    env_kwargs: str = "{}",
    *,
    crop: tuple[int, int, int, int] | None = None,
    image_size: int = 64,
    pad: bool = False,
    frame_skip: int = 1,
    fps: float | None = None,
    module: str = "",
) -> SourceConfig:
    """The game as a recording sees it.

    Random repeats of actions are off unless ``env_kwargs`` turns them on: what the player does is then what happens.

    Args:
        env_id: Gymnasium id.
        env_kwargs: keyword arguments of ``gym.make`` as JSON.
        crop: rows top, bottom and columns left, right; None: those of a registered game, else the whole picture.
        image_size: edge of a frame in pixels.
        pad: keep the picture's proportions with black bars.
        frame_skip: times each action is repeated.
        fps: frames per second when a person plays; None: the game's own rate.
        module: Python module to import first, when importing it registers the env.

    Raises:
        ImportError, ValueError, gymnasium.error.Error: if the game cannot be made or shows no picture.
    """
    import_games(module)
    known = game_for(env_id).source
    register_namespace(env_id)
    kwargs, _ = without_sticky_actions(env_id, json_object("env_kwargs", env_kwargs))
    source = dataclasses.replace(
        known, env_kwargs=kwargs, crop=crop or known.crop, image_size=image_size, pad=pad, frame_skip=frame_skip
    )
    game = make_source_game(source)
    try:
        names = tuple(game.get_action_meanings())
        own_rate = known.fps if env_id in known_games() else frame_rate(game)
    finally:
        game.close()
    effects = source.effects or tuple(range(len(names)))
    return dataclasses.replace(source, action_meanings=names, effects=effects, fps=fps or own_rate)


def json_object(name: str, text: str) -> dict[str, Any]:
    """A flag whose value is a JSON object.

    Raises:
        ValueError: if ``text`` is something else; begins with ``name``.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}: expected JSON, got {text!r} ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{name}: expected a JSON object like {{...}}, got {text!r}")
    return found


def without_sticky_actions(env_id: str, kwargs: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Arguments that turn random repeats of actions off, and whether they are on by default.

    What the player does is then what happens. Arguments given by the user stay.
    """
    name = _sticky_name(env_id)
    if _own_sticky(env_id) > 0 and name not in kwargs:
        return {**kwargs, name: 0.0}, True
    return dict(kwargs), float(kwargs.get(name, 0.0) or 0.0) > 0


def sticky_probability(source: SourceConfig) -> float:
    """How often the game repeats the last action at random instead of the player's; 0: never.

    The default of an Atari game counts where the recording does not say otherwise, also if the game's package is not
    installed: all ids of its fifth version begin at 0.25 (Machado et al. 2018).
    """
    name = _sticky_name(source.env_id)
    if name in source.env_kwargs:
        given = source.env_kwargs[name]
        # A recording may come from anywhere, and its arguments hold anything.
        return float(given) if isinstance(given, (int, float)) and 0 <= given <= 1 else 0.0
    if source.env_id in gym.registry:
        return _own_sticky(source.env_id)
    return 0.25 if source.env_id.startswith("ALE/") and source.env_id.endswith("-v5") else 0.0


def frame_rate(game: SourceGame) -> float:
    """Steps per second at which a person would play: the game's own frame rate by its skipped frames."""
    kwargs = game.spec.kwargs if game.spec is not None else {}
    skipped = kwargs.get("frameskip")
    if isinstance(skipped, int) and skipped > 0:
        return ATARI_RATE / skipped / game.source.frame_skip
    return float(game.metadata.get("render_fps") or 30.0) / game.source.frame_skip


def _sticky_name(env_id: str) -> str:
    return STICKY_OF.get(env_id.partition("/")[0], (STICKY, 0.0))[0]


def _own_sticky(env_id: str) -> float:
    namespace, spec = env_id.partition("/")[0], gym.registry.get(env_id)
    if namespace in STICKY_OF:
        return STICKY_OF[namespace][1]
    return 0.0 if spec is None else float(spec.kwargs.get(STICKY, 0.0) or 0.0)
