"""Where the episodes of a Minari data set come from: a recording, or an environment that is played."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from genie_env.data.episodes import EpisodeStore
from genie_env.files.errors import FileError
from genie_env.minari.writer import MinariEpisode, MinariSpaces
from genie_env.registration import GAME

Choose = Callable[[np.ndarray], int]
"""Which action to play at an observation."""


def recorded_episodes(store: EpisodeStore, splits: tuple[str, ...]) -> Iterator[MinariEpisode]:
    """Episodes of a recording, its ground truth as ``infos``; an episode without a step is left out."""
    for entry in store.manifest.episodes:
        if entry.split not in splits or entry.length < 2:
            continue
        truth = store.array("truth", entry)
        yield MinariEpisode(
            store.array("frames", entry),
            store.array("actions", entry)[:-1],
            store.array("rewards", entry)[:-1],
            entry.terminated,
            {name: truth[:, column] for column, name in enumerate(store.manifest.truth_names)},
            None,
            {"player": entry.player, "split": entry.split},
        )


def recorded_spaces(store: EpisodeStore) -> MinariSpaces:
    """Spaces of a recording; its environment is the real game, cut and resized as it was recorded.

    Raises:
        FileError: if no actions are known, without which there is no Minari data set.
    """
    source = store.manifest.source
    if not source.has_actions:
        raise FileError(store.folder, "knows no actions, and a Minari data set must; expected a recording with actions")
    shape = store.array("frames", store.manifest.episodes[0]).shape[1:]
    most = len(source.action_meanings)
    if not most:
        most = 1 + max(int(store.array("actions", entry).max()) for entry in store.manifest.episodes)
    spec = None
    if source.env_id:
        spec = copy.deepcopy(gym.spec(GAME))
        spec.kwargs = {"source": source.to_json()}
    return MinariSpaces(gym.spaces.Box(0, 255, shape, np.uint8), gym.spaces.Discrete(max(most, 1)), spec)


def dreamed_episodes(
    env: gym.Env[Any, Any], choose: Choose, num_episodes: int, num_steps: int, seed: int
) -> Iterator[MinariEpisode]:
    """Play an environment, episode i from ``reset(seed=seed + i)``.

    The recorded actions are those that were executed, after action diversity; ``infos`` are the environment's.

    Args:
        env: a :class:`~genie_env.envs.env.GenieEnv`, wrapped or not.
        choose: the player.
        num_episodes: to play.
        num_steps: after which an episode is cut off.
        seed: of the first episode.
    """
    for index in range(num_episodes):
        observation, info = env.reset(seed=seed + index)
        observations, rewards, infos = [observation], [], [info]
        terminated = truncated = False
        while not (terminated or truncated) and len(rewards) < num_steps:
            observation, reward, terminated, truncated, info = env.step(choose(observation))
            observations.append(observation)
            rewards.append(reward)
            infos.append(info)
        columns = {name: np.array([info[name] for info in infos]) for name in infos[0]}
        yield MinariEpisode(
            np.stack(observations), columns["action"][1:], np.array(rewards), terminated, columns, seed + index, {}
        )


def held_actions(env: gym.Env[Any, Any], seed: int) -> Choose:
    """A player of random actions, each held for two to nine steps, that does not look."""
    rng = np.random.default_rng(seed)
    space = env.action_space
    assert isinstance(space, gym.spaces.Discrete)
    held: list[int] = []

    def choose(_: np.ndarray) -> int:
        if not held:
            held.extend([int(rng.integers(space.n))] * int(rng.integers(2, 10)))
        return held.pop()

    return choose
