"""Episodes as a Minari data set that ``minari.load_dataset`` reads: whole or absent, one episode in memory at a time.

Owns the layout of the data set and what it says of itself. Knows nothing about where episodes come from.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from genie_env import __version__
from genie_env.files.atomic import whole_folder


@dataclass(frozen=True)
class AboutDataset:
    """What a data set says of itself."""

    description: str = ""
    """Description of the data set; empty takes one made from where it comes from."""
    author: str = ""
    """Name of the author."""
    author_email: str = ""
    """Email address of the author."""
    code_permalink: str = ""
    """Link to the code that made the data."""
    algorithm_name: str = ""
    """Name of what played; empty takes the recorded players' names."""
    jpeg: bool = False
    """Store pictures as JPEG: smaller, and not the pictures that were seen."""


class MinariEpisode(NamedTuple):
    """One episode of T steps."""

    observations: np.ndarray
    """[T+1, …], members of the observation space."""
    actions_T: np.ndarray
    """int64; action t moves observation t to t+1."""
    rewards_T: np.ndarray
    terminated: bool
    """Whether the last step ended the game; otherwise it was cut off there."""
    infos: dict[str, np.ndarray]
    """Further columns of T+1 rows."""
    seed: int | None
    """With which ``env.reset`` the episode began; None: not known."""
    metadata: dict[str, str]
    """Further facts about the episode."""


class MinariSpaces(NamedTuple):
    """Spaces of a data set, and how its environment is made again."""

    observation_space: gym.Space
    action_space: gym.Space
    env_spec: EnvSpec | None
    """None where the environment is not known."""


def require_minari() -> Any:
    """The package minari, with what it needs to write.

    Raises:
        ImportError: without it; the message says which extra brings it.
    """
    try:
        import h5py  # noqa: F401
        import minari
    except ImportError as error:
        raise ImportError("Minari data sets need minari and h5py: pip install 'genie-env[minari]'") from error
    return minari


def dataset_folder(dataset_id: str) -> Path:
    """Where Minari keeps a data set on this machine.

    Raises:
        ValueError: if ``dataset_id`` is no id, or there is such a data set already.
    """
    require_minari()
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage.datasets_root_dir import get_dataset_path

    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError):
        raise ValueError(f"dataset id: expected one like genie/pong/mixed-v0, got {dataset_id!r}") from None
    folder = Path(get_dataset_path(dataset_id))
    if folder.exists():
        raise ValueError(f"dataset id: {dataset_id!r} is in {folder.parent} already; use another name or version")
    return folder


def write_dataset(
    dataset_id: str, episodes: Iterable[MinariEpisode], spaces: MinariSpaces, about: AboutDataset
) -> tuple[Path, int, int]:
    """Write a data set where Minari looks for it (``MINARI_DATASETS_PATH``).

    Returns:
        its folder, and how many episodes and steps it has.

    Raises:
        ValueError: if ``dataset_id`` is no id or taken, or there is no episode; nothing is written then.
        ImportError: without minari.
    """
    folder = dataset_folder(dataset_id)
    from minari.dataset.minari_storage import MinariStorage
    from minari.namespace import create_namespace, list_local_namespaces

    with whole_folder(folder) as partial:
        storage = MinariStorage.new(
            partial / "data", spaces.observation_space, spaces.action_space, spaces.env_spec, jpeg_encoding=about.jpeg
        )
        for episode in episodes:
            storage.update_episodes([_buffer(episode)])
            if episode.metadata:
                storage.update_episode_metadata([episode.metadata], [storage.total_episodes - 1])
        if not storage.total_episodes:
            raise ValueError(f"{dataset_id}: expected at least one episode with a step, got none")
        storage.update_metadata(_metadata(dataset_id, about))
        counts = storage.total_episodes, storage.total_steps
    namespace = dataset_id.rpartition("/")[0]
    if namespace and namespace not in list_local_namespaces():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            create_namespace(namespace)
    return folder, *counts


def _buffer(episode: MinariEpisode) -> Any:
    from minari.data_collector import EpisodeBuffer

    steps = len(episode.actions_T)
    ends, cuts = np.zeros((2, steps), dtype=bool)
    (ends if episode.terminated else cuts)[-1:] = True
    return EpisodeBuffer(
        seed=episode.seed,
        observations=episode.observations,  # type: ignore[arg-type]
        actions=episode.actions_T.astype(np.int64),  # type: ignore[arg-type]
        rewards=episode.rewards_T.astype(np.float64),  # type: ignore[arg-type]
        terminations=ends,  # type: ignore[arg-type]
        truncations=cuts,  # type: ignore[arg-type]
        infos=episode.infos or None,
    )


def _metadata(dataset_id: str, about: AboutDataset) -> dict[str, Any]:
    found = {
        "dataset_id": dataset_id,
        "minari_version": require_minari().__version__,
        "author": {about.author} if about.author else None,
        "author_email": {about.author_email} if about.author_email else None,
        "code_permalink": about.code_permalink or None,
        "algorithm_name": about.algorithm_name or None,
        "description": about.description or None,
        "requirements": [f"genie-env=={__version__}"],
    }
    return {name: value for name, value in found.items() if value is not None}
