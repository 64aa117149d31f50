"""A batch of dreams as an environment needs it: actions in, observations out.

The two Gymnasium adapters share this class; a single environment is its one-row case. It owns what lies between
Gymnasium's arrays and the rollout engine's tensors: action map, action diversity, observation types, start prompts,
one random generator a row. It knows nothing of episodes' limits, autoreset or rendering.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch

from genie_env.action_map import latent_tables
from genie_env.bundle import load_world
from genie_env.config import WorldConfig
from genie_env.effect_names import effect_names
from genie_env.envs.options import ResolvedOptions, check_diversity, check_temperature
from genie_env.frames import check_frames, to_gray
from genie_env.rollout.engine import RolloutEngine, RolloutState, StepOutput
from genie_env.rollout.sampling import LANE_ACTION, counter_uniform, diversify
from genie_env.rollout.torch_runtime import compiled_step, refuse_fork, suitable_threads
from genie_env.world import Prompts, World, check_prompts


def observation_space(config: WorldConfig, obs_type: str) -> gym.spaces.Box:
    """Space of one observation."""
    size = config.tokenizer.image_size
    if obs_type == "tokens":
        return gym.spaces.Box(0, config.tokenizer.vocab_size - 1, (config.tokenizer.num_tokens,), np.int64)
    return gym.spaces.Box(0, 255, (size, size, 3 if obs_type == "rgb" else 1), np.uint8)


def action_space(config: WorldConfig, action_type: str) -> gym.spaces.Discrete:
    """Space of one action."""
    real = config.action_map is not None and action_type == "real"
    return gym.spaces.Discrete(len(config.source.action_meanings) if real else config.dynamics.num_actions)


def action_meanings(config: WorldConfig, action_type: str) -> list[str]:
    """Names of the actions; a latent one has its effect's name, else that of the real one it stands for, if known."""
    if action_type == "real":
        return list(config.source.action_meanings)
    if config.prototypes:
        return [f"LATENT_{i}({name})" for i, name in enumerate(effect_names(config.prototypes))]
    if config.action_map is None:
        return [f"LATENT_{i}" for i in range(config.dynamics.num_actions)]
    return [
        f"LATENT_{i}({config.source.action_meanings[real]})" for i, real in enumerate(config.action_map.latent_to_real)
    ]


class DreamStep(NamedTuple):
    """One step of every row, as fresh arrays."""

    reward_B: np.ndarray
    terminated_B: np.ndarray
    action_B: np.ndarray
    """Executed action, in the environment's own action space."""
    latent_action_B: np.ndarray
    entropy_B: np.ndarray


class ResetValues(NamedTuple):
    """What a reset without options takes."""

    temperature: float
    action_diversity: float
    starts: Prompts | None
    """Beginnings to draw from; None: the world's own."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that decides how dreams go on, apart from the world itself."""

    rollout: RolloutState
    recent_BK: torch.Tensor
    temperature_B: torch.Tensor
    diversity_B: torch.Tensor
    generators: list[np.random.Generator | None]
    reset_values: ResetValues
    world: str


class DreamBatch:
    """``num_rows`` dreams in one world, opened on first use.

    A deep copy shares the world, which never changes. A pickled one leaves it behind and opens it again.
    """

    _OPENED = ("world", "_engine", "_step", "_to_latent")

    def __init__(self, world: str, config: WorldConfig, options: ResolvedOptions, num_rows: int) -> None:
        self.config, self.options, self.num_rows = config, options, num_rows
        self._world_name = world
        self._num_actions = int(action_space(config, options.action_type).n)
        self.generators: list[np.random.Generator | None] = [None] * num_rows
        self._reset_values = ResetValues(options.temperature, options.action_diversity, None)
        self._state: RolloutState | None = None

    @cached_property
    def world(self) -> World:
        """The world, loaded when first needed: a process that only copies environments needs no weights."""
        return load_world(self._world_name, self.options.device)

    @cached_property
    def _engine(self) -> RolloutEngine:
        return self.world.engine(self.options.sampling)

    @cached_property
    def _step(self) -> Callable[..., StepOutput]:
        return compiled_step(self._engine) if self.options.compile else self._engine.step

    @cached_property
    def _to_latent(self) -> torch.Tensor:
        """Latent action by the action executed before, -1 at the beginning, and the action now."""
        mapped = self.config.action_map
        if self.options.action_type == "real" and mapped is not None:
            return torch.from_numpy(latent_tables(mapped)).to(self.world.device)
        return torch.arange(self._num_actions, device=self.world.device).expand(self._num_actions + 1, -1)

    @property
    def state(self) -> RolloutState:
        """The rollout, once reset."""
        refuse_fork()
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() before step(), render() or snapshot()")
        return self._state

    def reset_rows(self, rows: np.ndarray, generators: list[np.random.Generator], options: dict[str, Any]) -> None:
        """Restart the dreams of ``rows``.

        Args:
            rows: int [R].
            generators: the rows' own generators; each gives its row a key and, without a prompt, a start.
            options: checked names; ``frames`` uint8 [R, T, H, W, 3], ``start``, ``starts``, ``temperature``,
                ``action_diversity``. ``starts`` stay for later resets, the others hold for this one.

        Raises:
            ValueError: if an option's value is not as expected; no dream changes then.
            ForkedError: in a process that was forked after torch was imported.
        """
        refuse_fork()
        # Everything is checked before anything changes: a bad option leaves the dreams as they were.
        now, frames, start = self._checked(options, len(rows))
        if self._state is None and len(rows) != self.num_rows:
            raise gym.error.ResetNeeded("the first reset must cover all rows")
        keys = torch.tensor([int(g.integers(2**63)) for g in generators])
        starts = now.starts or self.world.starts
        prompts = self.world.prompts(frames) if frames is not None else self._drawn(starts, generators, start)
        self._reset_values = self._reset_values._replace(starts=now.starts)
        for row, generator in zip(rows, generators, strict=True):
            self.generators[row] = generator
        if self._state is None:
            self._state = self._engine.start(*prompts, keys.to(self.world.device))
            self._recent_BK = torch.full((self.num_rows, self.options.diversity_window), -1, device=self.world.device)
            self._temperature_B = torch.zeros(self.num_rows, device=self.world.device)
            self._diversity_B = torch.zeros(self.num_rows, device=self.world.device)
        else:
            self._engine.reset_rows(self._state, torch.from_numpy(rows), *prompts, keys)
        where = torch.from_numpy(rows).to(self.world.device)
        self._recent_BK[where] = -1
        self._temperature_B[where] = now.temperature
        self._diversity_B[where] = now.action_diversity

    def step(self, actions_B: np.ndarray) -> DreamStep:
        """Play one action per row."""
        state = self.state
        asked_B = torch.from_numpy(np.asarray(actions_B, dtype=np.int64)).to(self.world.device)
        uniform_B2 = counter_uniform(state.key_B, state.step_B, LANE_ACTION, 2)
        action_B = diversify(asked_B, self._recent_BK, self._num_actions, self._diversity_B, uniform_B2)
        latent_B = self._to_latent[self._recent_BK[:, -1], action_B]
        self._recent_BK = torch.cat([self._recent_BK[:, 1:], action_B[:, None]], dim=1)
        with suitable_threads(self.num_rows, self.world.device):
            output = self._step(state, latent_B, self._temperature_B)
        return DreamStep(
            output.reward_B.cpu().numpy().astype(np.float64),
            output.terminated_B.cpu().numpy().copy(),
            action_B.cpu().numpy(),
            latent_B.cpu().numpy(),
            output.entropy_B.cpu().numpy(),
        )

    def observations(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Fresh observations of all or some rows."""
        if self.options.obs_type == "tokens":
            tokens_BN = self.state.tokens_BN if rows is None else self.state.tokens_BN[torch.from_numpy(rows)]
            return tokens_BN.cpu().numpy().copy()
        frames_BHWC = self.frames(rows)
        return to_gray(frames_BHWC) if self.options.obs_type == "grayscale" else frames_BHWC

    def frames(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Pictures of all or some rows, uint8 [B, H, W, 3], whatever the observation type."""
        tokens_BN = self.state.tokens_BN
        if rows is not None:
            tokens_BN = tokens_BN[torch.from_numpy(rows).to(tokens_BN.device)]
        with torch.inference_mode():
            return self.world.tokenizer.decode(tokens_BN).cpu().numpy()

    @property
    def temperature(self) -> float:
        """Temperature of the first row; setting it sets all rows, now and at later resets."""
        return self._reset_values.temperature if self._state is None else float(self._temperature_B[0])

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._reset_values = self._reset_values._replace(temperature=check_temperature(value))
        if self._state is not None:
            self._temperature_B = torch.full_like(self._temperature_B, self._reset_values.temperature)

    @property
    def action_diversity(self) -> float:
        """Action diversity of the first row; setting it sets all rows, now and at later resets."""
        return self._reset_values.action_diversity if self._state is None else float(self._diversity_B[0])

    @action_diversity.setter
    def action_diversity(self, value: float) -> None:
        self._reset_values = self._reset_values._replace(action_diversity=check_diversity(value))
        if self._state is not None:
            self._diversity_B = torch.full_like(self._diversity_B, self._reset_values.action_diversity)

    def snapshot(self) -> Snapshot:
        """An independent copy of where all dreams stand."""
        return Snapshot(
            self.state.clone(),
            self._recent_BK.clone(),
            self._temperature_B.clone(),
            self._diversity_B.clone(),
            copy.deepcopy(self.generators),
            self._reset_values,
            self.config.name,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, which stays usable.

        Raises:
            ValueError: if it is none, or of another world, number of rows or diversity window.
        """
        if not isinstance(snapshot, Snapshot):
            raise ValueError(f"snapshot: expected what snapshot() returned, got {snapshot!r}")
        expected = self.config.name, self.num_rows, self.options.diversity_window
        found = snapshot.world, *snapshot.recent_BK.shape
        if found != expected:
            raise ValueError(f"snapshot: expected world, rows and diversity window {expected}, got {found}")
        self._state = snapshot.rollout.clone()
        self._recent_BK = snapshot.recent_BK.clone()
        self._temperature_B, self._diversity_B = snapshot.temperature_B.clone(), snapshot.diversity_B.clone()
        self.generators, self._reset_values = copy.deepcopy(snapshot.generators), snapshot.reset_values

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._OPENED}

    def __deepcopy__(self, memo: dict[int, Any]) -> DreamBatch:
        copied = object.__new__(DreamBatch)
        shared = (*self._OPENED, "_reset_values")
        for name, value in self.__dict__.items():
            copied.__dict__[name] = value if name in shared else copy.deepcopy(value, memo)
        return copied

    def _checked(self, options: dict[str, Any], num_rows: int) -> tuple[ResetValues, torch.Tensor | None, int | None]:
        """What a reset of so many rows takes: values, frames and the number of the start, if these are given."""
        usual = self._reset_values
        now = ResetValues(
            check_temperature(options.get("temperature", usual.temperature)),
            check_diversity(options.get("action_diversity", usual.action_diversity)),
            options.get("starts", usual.starts),
        )
        if now.starts is not None:
            now = now._replace(starts=check_prompts(now.starts, self.config))
        frames = options.get("frames")
        if frames is not None:
            frames = check_frames(np.asarray(frames), self.config.tokenizer.image_size, "RTHWC")
            if len(frames) != num_rows:
                raise ValueError(f"frames: expected one clip for each of the {num_rows} rows, got {len(frames)}")
        count = len((now.starts or self.world.starts).tokens_SPN)
        return now, frames, _check_start(options.get("start"), count)

    def _drawn(self, starts: Prompts, generators: list[np.random.Generator], start: int | None) -> Prompts:
        """One beginning a row: number ``start``, or what the row's generator draws."""
        picks = [int(g.integers(len(starts.tokens_SPN))) if start is None else start for g in generators]
        return Prompts(starts.tokens_SPN[picks].to(self.world.device), starts.actions_SP[picks].to(self.world.device))


def _check_start(start: Any, count: int) -> int | None:
    if start is None:
        return None
    if isinstance(start, bool) or not isinstance(start, (int, np.integer)) or not 0 <= start < count:
        raise ValueError(f"start: expected an integer from 0 to {count - 1}, got {start!r}")
    return int(start)
