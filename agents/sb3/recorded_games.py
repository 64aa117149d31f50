"""Real games that record everything played in them, behind stable-baselines3's interface.

Owns the games, the episodes that they become, and whose they are. Knows nothing about learning or files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from genie_env.data.episode_builder import EpisodeBuilder
from genie_env.data.episodes import Episode
from genie_env.frames import to_gray
from genie_env.games.registry import Game
from genie_env.games.source_game import SourceGame

See = Callable[[np.ndarray], np.ndarray]
"""From frames uint8 [B, H, W, 3] to observations [B, …]."""


class RecordedGames(VecEnv):
    """Games played one after another in this process; a game that ends begins again in the same step.

    A recorded episode lasts from a game's beginning to its end, or to :meth:`take`, where the next one goes on. Rewards
    and frames are recorded as the games give them, whatever wrappers make of them.
    """

    def __init__(
        self,
        games: list[SourceGame],
        knowledge: Game,
        rng: np.random.Generator,
        space: gym.Space[Any] | None = None,
        see: See = to_gray,
    ) -> None:
        """Take over ``games``.

        Args:
            games: one a row, all of the same game.
            knowledge: what is known of the game; its ground truth is recorded.
            rng: seeds of the games come from it.
            space: of one observation; the default is a grey picture.
            see: makes observations of frames.
        """
        self.games = games
        self.players = ["unknown"] * len(games)
        """Who plays each row: the name under which its episode is recorded."""
        self.steps = 0
        """Steps of all rows since the last :meth:`take`."""
        self._knowledge, self._rng, self._see = knowledge, rng, see
        self._ended: list[Episode] = []
        self._running: list[EpisodeBuilder] = []
        size = games[0].source.image_size
        space = space or gym.spaces.Box(0, 255, (size, size, 1), np.uint8)
        super().__init__(len(games), space, games[0].action_space)

    def reset(self) -> np.ndarray:
        """Begin every game; what was running before is not recorded."""
        began = [self._begin(game) for game in self.games]
        self._running = [running for running, _ in began]
        return self._see(np.stack([frame_HWC for _, frame_HWC in began]))

    def step_async(self, actions: np.ndarray) -> None:
        """Keep ``actions`` [B] for :meth:`step_wait`."""
        self._actions_B = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step every game; observations [B, …], rewards float32 [B], dones bool [B], one info a row."""
        rewards_B, dones_B = np.zeros(self.num_envs, dtype=np.float32), np.zeros(self.num_envs, dtype=bool)
        frames, infos = [], []
        for row, (game, action) in enumerate(zip(self.games, self._actions_B.tolist(), strict=True)):
            frame, rewards_B[row], terminated, truncated, from_game = game.step(action)
            self._running[row].add(action, float(rewards_B[row]), frame, self._truth(game, from_game))
            info: dict[str, Any] = {"TimeLimit.truncated": truncated and not terminated}
            dones_B[row] = terminated or truncated
            if dones_B[row]:
                info["terminal_observation"] = self._see(frame[None])[0]
                self._ended.append(self._running[row].episode(self.players[row], terminated))
                self._running[row], frame = self._begin(game)
            frames.append(frame)
            infos.append(info)
        self.steps += self.num_envs
        return self._see(np.stack(frames)), rewards_B, dones_B, infos

    def take(self) -> list[Episode]:
        """Everything played since the last call, cut here; the games go on in new episodes."""
        for row, running in enumerate(self._running):
            if len(running):
                self._ended.append(running.episode(self.players[row], terminated=False))
                self._running[row] = running.rest()
        taken, self._ended, self.steps = self._ended, [], 0
        return taken

    def close(self) -> None:
        """Close the games."""
        for game in self.games:
            game.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each game asked for."""
        return [getattr(self.games[row], attr_name) for row in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each game asked for."""
        for row in self._get_indices(indices):
            setattr(self.games[row], attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call a method of each game asked for."""
        return [getattr(self.games[row], method_name)(*args, **kwargs) for row in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """Whether each game asked for has a wrapper of this kind; stable-baselines3's own are never among them."""
        return [False for _ in self._get_indices(indices)]

    def _begin(self, game: SourceGame) -> tuple[EpisodeBuilder, np.ndarray]:
        frame_HWC, info = game.reset(seed=int(self._rng.integers(2**31)))
        return EpisodeBuilder(frame_HWC, self._truth(game, info)), frame_HWC

    def _truth(self, game: SourceGame, info: dict[str, Any]) -> list[float]:
        if self._knowledge.truth is None:
            return []
        seen = self._knowledge.truth(game, info)
        return [seen[name] for name in self._knowledge.truth_names]
