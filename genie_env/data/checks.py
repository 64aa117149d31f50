"""What holds in the rows of every recording, whoever made it: they are aligned, in range and finite.

Frames are never read here; everything else is a few bytes a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genie_env.config import SourceConfig, WorldConfig
from genie_env.data.manifest import NO_ACTION, EpisodeEntry
from genie_env.files.errors import FileError


def check_rows(
    arrays: dict[str, np.ndarray], paths: dict[str, Path], entries: Sequence[EpisodeEntry], source: SourceConfig
) -> None:
    """Compare what a shard holds with its episodes.

    Args:
        arrays: of the shard: ``actions``, ``rewards``, ``terminated`` and ``truth``.
        paths: of the arrays, for the error.
        entries: the shard's episodes.
        source: the game, and what is known of it.

    Raises:
        FileError: if an action is none of the game's, a reward is not finite, an episode ends elsewhere, or there is
            something of which the source says that it is not known.
    """
    rows = len(arrays["actions"])
    last = np.zeros(rows, dtype=bool)
    last[[entry.start + entry.length - 1 for entry in entries]] = True
    ends = np.zeros(rows, dtype=bool)
    ends[[entry.start + entry.length - 2 for entry in entries if entry.terminated and entry.length > 1]] = True
    problem = actions_problem(arrays["actions"][~last], source)
    if problem or not (arrays["actions"][last] == NO_ACTION).all():
        at_end = f"{NO_ACTION} at the last frame of each episode, where none was played"
        raise FileError(paths["actions"], problem or f"expected {at_end}")
    if not np.isfinite(arrays["rewards"]).all():
        raise FileError(paths["rewards"], "expected finite rewards, got NaN or infinite ones")
    if problem := outcomes_problem(arrays["rewards"], bool(arrays["terminated"].any()), source):
        raise FileError(paths["rewards"], problem)
    if not np.array_equal(arrays["terminated"], ends):
        raise FileError(paths["terminated"], "expected ends where the manifest says that episodes end")
    if np.isinf(arrays["truth"]).any():
        raise FileError(paths["truth"], "expected finite numbers, or NaN where none is known; got infinite ones")


def actions_problem(actions_T: np.ndarray, source: SourceConfig) -> str:
    """What is wrong with actions that were played; empty if nothing is."""
    if not source.has_actions:
        known = int((actions_T != NO_ACTION).sum())
        return f"expected {NO_ACTION} throughout, for no action is known; got {known} actions" if known else ""
    most = len(source.action_meanings) - 1 if source.action_meanings else np.iinfo(np.int16).max
    if not len(actions_T) or (int(actions_T.min()) >= 0 and int(actions_T.max()) <= most):
        return ""
    return f"expected actions from 0 to {most}, got {int(actions_T.min())} to {int(actions_T.max())}"


def outcomes_problem(rewards_T: np.ndarray, ends: bool, source: SourceConfig) -> str:
    """What is wrong with rewards and ends where none are known; empty if nothing is."""
    if source.has_outcomes or not (ends or rewards_T.any()):
        return ""
    return "expected rewards of 0 and no end, for none is known; got others"


def require_spaces_of(world: WorldConfig, source: SourceConfig, folder: Path) -> None:
    """Refuse a recording whose frames or actions a world cannot read, before any of it is read.

    Actions are compared where both name them: a world of films has none, and may be measured on play that has.

    Args:
        world: the world that is to read the recording.
        source: the game that was recorded.
        folder: of the recording, for the error.

    Raises:
        ValueError: if frames are of another size, or the game has other actions.
    """
    size, actions = world.tokenizer.image_size, world.source.action_meanings
    if source.image_size != size:
        raise ValueError(
            f"{folder}: frames are {source.image_size} pixels wide; the world {world.name!r} reads frames of {size}"
        )
    if actions and source.action_meanings and actions != source.action_meanings:
        raise ValueError(
            f"{folder}: its game has the actions {list(source.action_meanings)}; those of the world {world.name!r} are "
            f"{list(actions)}"
        )
