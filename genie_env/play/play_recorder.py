"""Play becomes training data: what a person saw, did and earned, as a recording that `training` reads.

Owns how a session is cut into episodes. The store on disk is that of :mod:`genie_env.data.episodes`; of the world it
knows the configuration only.
"""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from genie_env.action_map import real_action
from genie_env.config import ActionMapConfig, SourceConfig, WorldConfig
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter

# About a minute of play: the most that a kill can lose, and what lies in memory at a time.
PIECE_STEPS = 1000
TEST_SHARE = 0.1


class PlayRecorder:
    """Writes episodes while they are played; :meth:`close` publishes the folder, which is absent until then.

    After a kill the finished pieces wait in ``<folder>.partial``; recording into the same folder goes on after them.
    """

    def __init__(self, folder: Path | str, config: WorldConfig, action_type: str = "real") -> None:
        """Prepare.

        Args:
            folder: to make.
            config: of the world that is played.
            action_type: of the actions that will be added. Latent ones are kept as the real ones they stand for,
                or as they are where the world has no action map.

        Raises:
            ValueError: if ``folder`` exists, is being recorded by another process, or an unfinished recording of
                another world, or a damaged one, lies beside it.
        """
        source, self._mapped = _recorded_actions(config, action_type)
        self._writer = EpisodeWriter(folder, source, settings={"player": "human", "world": config.name})
        self._hold = ExitStack()
        self._hold.enter_context(self._writer.hold())
        self._num_shards = 0
        while self._writer.has_entries(self._num_shards):
            # Unlike a game that is recorded, play cannot be repeated: what is damaged is not written over.
            self._writer.require_shard(self._num_shards)
            self._num_shards += 1
        self._frames: list[np.ndarray] = []
        self._actions: list[int] = []
        self._rewards: list[float] = []
        # The last finished piece: whether it stays whole depends on whether another one follows.
        self._waiting: Episode | None = None

    def begin(self, frame_HWC: np.ndarray) -> None:
        """A new episode, or another place in an old one, begins with this uint8 frame [H, W, 3]."""
        self._end(terminated=False)
        self._frames, self._before = [frame_HWC.copy()], -1

    def add(self, action: int, frame_HWC: np.ndarray, reward: float, terminated: bool) -> None:
        """One step: the action that was executed, and what came of it."""
        self._frames.append(frame_HWC.copy())
        self._before = real_action(self._mapped, action, self._before)
        self._actions.append(self._before)
        self._rewards.append(reward)
        if terminated or len(self._actions) == PIECE_STEPS:
            self._end(terminated)
            self._frames = [frame_HWC.copy()]
        if terminated:
            self._before = -1

    def close(self) -> EpisodeStore | None:
        """Publish the recording; None, and no folder, if there was not a single step."""
        with self._hold:
            return self._close()

    def _close(self) -> EpisodeStore | None:
        self._end(terminated=False)
        if self._waiting is not None:
            # One piece alone is cut in two, so that there is something to test on.
            for episode in [self._waiting] if self._num_shards else _cut(self._waiting):
                self._write(episode)
            self._waiting = None
        if not self._num_shards:
            self._writer.discard()
            return None
        return self._writer.finish(self._num_shards)

    def _end(self, terminated: bool) -> None:
        if self._actions:
            if self._waiting is not None:
                self._write(self._waiting)
            frames_THWC, no_truth = np.stack(self._frames), np.zeros((len(self._frames), 0))
            self._waiting = Episode(
                frames_THWC, np.array(self._actions), np.array(self._rewards), terminated, no_truth, "human"
            )
        self._frames, self._actions, self._rewards = [], [], []

    def _write(self, episode: Episode) -> None:
        self._writer.write_shard(self._num_shards, [episode])
        self._num_shards += 1


def _recorded_actions(config: WorldConfig, action_type: str) -> tuple[SourceConfig, ActionMapConfig | None]:
    """The game as the recording names it, and the map that played actions go through, if any."""
    if action_type == "real":
        return config.source, None
    if config.action_map is not None:
        return config.source, config.action_map
    codes = tuple(range(config.dynamics.num_actions))
    names = tuple(f"LATENT_{code}" for code in codes)
    return dataclasses.replace(config.source, action_meanings=names, effects=codes, keys={}, has_actions=True), None


def _cut(episode: Episode) -> list[Episode]:
    """The episode as its first part and its last tenth, which share a frame; whole if it is a single step."""
    steps = len(episode.actions_T)
    if steps < 2:
        return [episode]
    at = min(steps - 1, round(steps * (1 - TEST_SHARE)))

    def part(first: int, last: int) -> Episode:
        return dataclasses.replace(
            episode,
            frames_THWC=episode.frames_THWC[first : last + 1],
            actions_T=episode.actions_T[first:last],
            rewards_T=episode.rewards_T[first:last],
            terminated=episode.terminated and last == steps,
            truth=episode.truth[first : last + 1],
        )

    return [part(0, at), part(at, steps)]
