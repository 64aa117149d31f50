"""Real games that record what is played in them, behind stable-baselines3's interface.

Owns the games, the episodes that they become, and whose they are. Knows nothing about learning or files.
"""

from __future__ import annotations

import functools
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
STRETCH = 1000
"""Steps of a game after which it is drawn again whether the next ones are recorded: some games have no end."""


class RecordedGames(VecEnv):
    """Games played one after another in this process; a game that ends begins again in the same step.

    A recorded episode lasts from a game's beginning to its end, or to :meth:`take`, where the next one goes on. Rewards
    and frames are recorded as the games give them, whatever wrappers make of them.

    A player that sees a game's own state instead of frames may practise: most of its games are then neither drawn nor
    recorded.
    """

    def __init__(
        self,
        games: list[SourceGame],
        knowledge: Game,
        rng: np.random.Generator,
        space: gym.Space[Any] | None = None,
        see: See | None = to_gray,
        practice: int = 0,
    ) -> None:
        """Take over ``games``.

        Args:
            games: one a row, all of the same game.
            knowledge: what is known of the game; its ground truth is recorded.
            rng: seeds of the games come from it.
            space: of one observation; the default is a grey picture.
            see: makes observations of frames; None: observations are what the games themselves tell, and ``space`` is
                their :attr:`SourceGame.state_space`.
            practice: steps neither drawn nor recorded for each that is, on average.

        Raises:
            ValueError: if a player that sees frames is to practise.
        """
        if practice and see is not None:
            raise ValueError("practice: expected 0 for players that see frames, which are drawn in every step")
        self.games = games
        self.players = ["unknown"] * len(games)
        """Who plays each row: the name under which its episode is recorded."""
        self.steps = 0
        """Recorded steps of all rows since the last :meth:`take`."""
        self._knowledge, self._rng, self._see, self._practice = knowledge, rng, see, practice
        self._ended: list[Episode] = []
        self._running: list[EpisodeBuilder | None] = []
        """What is recorded in each row; None where it practises."""
        self._stretch_B = np.zeros(len(games), dtype=int)
        size = games[0].source.image_size
        space = space or gym.spaces.Box(0, 255, (size, size, 1), np.uint8)
        super().__init__(len(games), space, games[0].action_space)

    def reset(self) -> np.ndarray:
        """Begin every game; what was running before is not recorded."""
        self._running = [None] * self.num_envs
        return self._observe([self._begin(row) for row in range(self.num_envs)])

    def step_async(self, actions: np.ndarray) -> None:
        """Keep ``actions`` [B] for :meth:`step_wait`."""
        self._actions_B = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Step every game; observations [B, …], rewards float32 [B], dones bool [B], one info a row."""
        rewards_B, dones_B = np.zeros(self.num_envs, dtype=np.float32), np.zeros(self.num_envs, dtype=bool)
        seen, infos = [], []
        for row, (game, action) in enumerate(zip(self.games, self._actions_B.tolist(), strict=True)):
            rewards_B[row], terminated, truncated, from_game = game.play(action)
            running, now = self._running[row], _Now(game)
            if running is not None:
                running.add(action, float(rewards_B[row]), now.frame, self._truth(game, from_game))
                self.steps += 1
            info: dict[str, Any] = {"TimeLimit.truncated": truncated and not terminated}
            dones_B[row] = terminated or truncated
            self._stretch_B[row] += 1
            if dones_B[row]:
                info["terminal_observation"] = self._observe([now])[0]
                self._end(row, terminated)
                now = self._begin(row)
            elif self._practice and self._stretch_B[row] == STRETCH:
                self._end(row, terminated=False)
                self._draw_lot(row, now, from_game)
            seen.append(now)
            infos.append(info)
        return self._observe(seen), rewards_B, dones_B, infos

    def take(self) -> list[Episode]:
        """Everything played since the last call, cut here; the games go on in new episodes."""
        for row, running in enumerate(self._running):
            if running is not None and len(running):
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

    def _begin(self, row: int) -> _Now:
        game = self.games[row]
        info = game.begin(seed=int(self._rng.integers(2**31)))
        now = _Now(game)
        self._draw_lot(row, now, info)
        return now

    def _draw_lot(self, row: int, now: _Now, info: dict[str, Any]) -> None:
        """Whether what comes next in a row is recorded."""
        recorded = not self._practice or self._rng.random() < 1 / (1 + self._practice)
        self._running[row] = EpisodeBuilder(now.frame, self._truth(self.games[row], info)) if recorded else None
        self._stretch_B[row] = 0

    def _end(self, row: int, terminated: bool) -> None:
        if (running := self._running[row]) is not None:
            self._ended.append(running.episode(self.players[row], terminated))

    def _observe(self, seen: list[_Now]) -> np.ndarray:
        if self._see is None:
            return np.stack([now.game.state() for now in seen])
        return self._see(np.stack([now.frame for now in seen]))

    def _truth(self, game: SourceGame, info: dict[str, Any]) -> list[float]:
        if self._knowledge.truth is None:
            return []
        seen = self._knowledge.truth(game, info)
        return [seen[name] for name in self._knowledge.truth_names]


class _Now:
    """A game at one moment, before it goes on: its frame is drawn once, and only where somebody looks."""

    def __init__(self, game: SourceGame) -> None:
        self.game = game

    @functools.cached_property
    def frame(self) -> np.ndarray:
        """As the world sees it, uint8 [H, W, 3]."""
        return self.game.frame()
