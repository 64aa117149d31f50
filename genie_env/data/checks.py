"""What holds in every recording, whoever made it: episodes lie side by side, and rows are aligned and in range.

Frames are never read here; everything else is a few bytes a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from genie_env.files.errors import FileError

SPLITS = ("train", "test")
NO_ACTION = -1


class Entry(Protocol):
    """Where an episode lies; see :class:`genie_env.data.episodes.EpisodeEntry`."""

    @property
    def shard(self) -> int: ...  # noqa: D102
    @property
    def start(self) -> int: ...  # noqa: D102
    @property
    def length(self) -> int: ...  # noqa: D102
    @property
    def split(self) -> str: ...  # noqa: D102
    @property
    def terminated(self) -> bool: ...  # noqa: D102


def shard_lengths(episodes: Sequence[Entry], num_shards: int, path: Path) -> list[int]:
    """Rows of each shard, whose episodes lie one after another from its first row to its last.

    Args:
        episodes: of all shards.
        num_shards: as the manifest says.
        path: of the manifest, for the error.

    Raises:
        FileError: if an episode lies elsewhere, over another one, or in no split.
    """
    if not 0 <= num_shards <= len(episodes):
        raise FileError(path, f"expected 0 to {len(episodes)} shards for {len(episodes)} episodes, got {num_shards}")
    lengths = [0] * num_shards
    for entry in sorted(episodes, key=lambda entry: (entry.shard, entry.start)):
        where = f"episode at row {entry.start} of shard {entry.shard}"
        if not 0 <= entry.shard < num_shards:
            raise FileError(path, f"{where}: expected a shard from 0 to {num_shards - 1}")
        if entry.start != lengths[entry.shard]:
            raise FileError(path, f"{where}: expected it at row {lengths[entry.shard]}, where the one before it ends")
        if not 0 < entry.length < 2**40:
            raise FileError(path, f"{where}: expected a length of at least one frame, got {entry.length}")
        if entry.split not in SPLITS:
            raise FileError(path, f"{where}: expected the split to be one of {list(SPLITS)}, got {entry.split!r}")
        lengths[entry.shard] += entry.length
    if 0 in lengths:
        raise FileError(path, f"expected an episode in each of {num_shards} shards, got none in {lengths.index(0)}")
    return lengths


def check_rows(
    arrays: dict[str, np.ndarray], paths: dict[str, Path], entries: Sequence[Entry], num_actions: int
) -> None:
    """Compare what a shard holds with its episodes.

    Args:
        arrays: of the shard: ``actions``, ``rewards``, ``terminated`` and ``truth``.
        paths: of the arrays, for the error.
        entries: the shard's episodes.
        num_actions: of the game; 0: not known.

    Raises:
        FileError: if an action is none of the game's, a reward is not finite, or an episode ends elsewhere.
    """
    rows = len(arrays["actions"])
    last = np.zeros(rows, dtype=bool)
    last[[entry.start + entry.length - 1 for entry in entries]] = True
    ends = np.zeros(rows, dtype=bool)
    ends[[entry.start + entry.length - 2 for entry in entries if entry.terminated and entry.length > 1]] = True
    problem = actions_problem(arrays["actions"][~last], num_actions)
    if problem or not (arrays["actions"][last] == NO_ACTION).all():
        at_end = f"{NO_ACTION} at the last frame of each episode, where none was played"
        raise FileError(paths["actions"], problem or f"expected {at_end}")
    if not np.isfinite(arrays["rewards"]).all():
        raise FileError(paths["rewards"], "expected finite rewards, got NaN or infinite ones")
    if not np.array_equal(arrays["terminated"], ends):
        raise FileError(paths["terminated"], "expected ends where the manifest says that episodes end")
    if np.isinf(arrays["truth"]).any():
        raise FileError(paths["truth"], "expected finite numbers, or NaN where none is known; got infinite ones")


def actions_problem(actions_T: np.ndarray, num_actions: int) -> str:
    """What is wrong with actions that were played; empty if nothing is."""
    most = num_actions - 1 if num_actions else np.iinfo(np.int16).max
    if not len(actions_T) or (int(actions_T.min()) >= 0 and int(actions_T.max()) <= most):
        return ""
    return f"expected actions from 0 to {most}, got {int(actions_T.min())} to {int(actions_T.max())}"
