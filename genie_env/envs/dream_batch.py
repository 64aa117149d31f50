"""A batch of dreams as an environment needs it: actions in, observations out.

The two Gymnasium adapters share this class; a single environment is its one-row case. It owns what lies between
Gymnasium and a runtime: observation types, start prompts, settings, one random generator a row. It knows nothing of
episodes' limits, autoreset or rendering, and imports torch only where the runtime or a prompt of frames needs it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np

from genie_env.config import WorldConfig
from genie_env.envs.opened_world import OpenedWorld, require_torch
from genie_env.envs.options import ResolvedOptions, check_diversity, check_temperature
from genie_env.frames import check_frames, to_gray
from genie_env.rollout.records import DreamRoll, DreamStep

if TYPE_CHECKING:
    import torch

    from genie_env.envs.torch_dreams import TorchState
    from genie_env.portable.engine import OnnxState
    from genie_env.world import Prompts, World


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


class ResetValues(NamedTuple):
    """What a reset without options takes."""

    temperature: float
    action_diversity: float
    starts: Prompts | None
    """Beginnings to draw from; None: the world's own."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that decides how dreams go on, apart from the world itself."""

    state: TorchState | OnnxState
    temperature_B: np.ndarray
    diversity_B: np.ndarray
    generators: list[np.random.Generator | None]
    reset_values: ResetValues
    made_by: tuple[str, str, int, int, int]
    """World, runtime, rows, diversity window and members."""


class DreamBatch:
    """``num_rows`` dreams in one world, opened on first use.

    A deep copy shares the world, which never changes. A pickled one leaves it behind and opens it again.
    """

    def __init__(self, world: str, config: WorldConfig, options: ResolvedOptions, num_rows: int) -> None:
        self.config, self.options, self.num_rows = config, options, num_rows
        self._opened = OpenedWorld(world, options, num_rows)
        self.generators: list[np.random.Generator | None] = [None] * num_rows
        self._reset_values = ResetValues(options.temperature, options.action_diversity, None)
        self._state: TorchState | OnnxState | None = None
        self._temperature_B = np.zeros(num_rows, np.float32)
        self._diversity_B = np.zeros(num_rows, np.float32)

    @property
    def world(self) -> World:
        """The world in torch, loaded when first asked for."""
        return self._opened.world

    @property
    def state(self) -> TorchState | OnnxState:
        """Where the dreams stand, once reset."""
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() before step(), render() or snapshot()")
        return self._state

    @property
    def step_B(self) -> np.ndarray:
        """Steps since each row's reset, int64."""
        return self.state.step_B.copy()

    def reset_rows(self, rows: np.ndarray, generators: list[np.random.Generator], options: dict[str, Any]) -> None:
        """Restart the dreams of ``rows``.

        Args:
            rows: int [R].
            generators: the rows' own generators; each gives its row a key and, without a prompt, a start.
            options: checked names; ``frames`` uint8 [R, T, H, W, 3], ``start``, ``starts``, ``temperature``,
                ``action_diversity``. ``starts`` stay for later resets, the others hold for this one.

        Raises:
            ValueError: if an option's value is not as expected; no dream changes then.
            ForkedError: with torch, in a process that was forked after torch was imported.
        """
        engine = self._opened.engine
        # Everything is checked before anything changes: a bad option leaves the dreams as they were.
        now, frames, start = self._checked(options, len(rows))
        if self._state is None and len(rows) != self.num_rows:
            raise gym.error.ResetNeeded("the first reset must cover all rows")
        keys = np.array([int(g.integers(2**63)) for g in generators])
        prompts = self._encoded(frames) if frames is not None else self._drawn(now.starts, generators, start)
        if self._state is None:
            self._state = engine.start(*prompts, keys)
        else:
            engine.reset_rows(self._state, rows, *prompts, keys)
        self._reset_values = self._reset_values._replace(starts=now.starts)
        for row, generator in zip(rows, generators, strict=True):
            self.generators[row] = generator
        # New arrays, for a runtime may have kept the old ones.
        self._temperature_B, self._diversity_B = self._temperature_B.copy(), self._diversity_B.copy()
        self._temperature_B[rows], self._diversity_B[rows] = now.temperature, now.action_diversity

    def step(self, actions_B: np.ndarray) -> DreamStep:
        """Play one action per row."""
        actions_B = np.asarray(actions_B, dtype=np.int64)
        result = self._opened.engine.step(self.state, actions_B, self._temperature_B, self._diversity_B)
        return _with_consequences(result, self.options)

    def roll(self, actions_BT: np.ndarray, beam: int) -> DreamRoll:
        """Play actions [B, T] that are known beforehand; of each row's dreams the most likely one comes true.

        Args:
            actions_BT: in the environment's own action space.
            beam: dreams kept of each row (:mod:`genie_env.rollout.beam`); nothing is drawn.

        Raises:
            ValueError: if so many cannot be kept, the dreams run in onnxruntime, or disagreement is to cost something.
        """
        if self.options.runtime != "torch":
            raise ValueError(f"beam: expected runtime 'torch', got {self.options.runtime!r}")
        if self.options.max_uncertainty is not None or self.options.uncertainty_penalty:
            raise ValueError("beam: expected no max_uncertainty and no uncertainty_penalty, which it does not look at")
        return self._opened.engine.roll(self.state, np.asarray(actions_BT, dtype=np.int64), self._diversity_B, beam)

    def observations(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Fresh observations of all or some rows."""
        if self.options.obs_type == "tokens":
            return np.array(self._tokens(rows))
        frames_BHWC = self.frames(rows)
        return to_gray(frames_BHWC) if self.options.obs_type == "grayscale" else frames_BHWC

    def frames(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Pictures of all or some rows, uint8 [B, H, W, 3], whatever the observation type."""
        return self._opened.engine.pictures(self._tokens(rows))

    def _tokens(self, rows: np.ndarray | None) -> np.ndarray:
        tokens_BN = self.state.tokens_BN
        return tokens_BN if rows is None else tokens_BN[rows]

    @property
    def temperature(self) -> float:
        """Temperature of the first row; setting it sets all rows, now and at later resets."""
        return self._reset_values.temperature if self._state is None else float(self._temperature_B[0])

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._reset_values = self._reset_values._replace(temperature=check_temperature(value))
        if self._state is not None:
            self._temperature_B = np.full_like(self._temperature_B, self._reset_values.temperature)

    @property
    def action_diversity(self) -> float:
        """Action diversity of the first row; setting it sets all rows, now and at later resets."""
        return self._reset_values.action_diversity if self._state is None else float(self._diversity_B[0])

    @action_diversity.setter
    def action_diversity(self, value: float) -> None:
        self._reset_values = self._reset_values._replace(action_diversity=check_diversity(value))
        if self._state is not None:
            self._diversity_B = np.full_like(self._diversity_B, self._reset_values.action_diversity)

    def snapshot(self) -> Snapshot:
        """An independent copy of where all dreams stand."""
        return Snapshot(
            self.state.clone(),
            self._temperature_B.copy(),
            self._diversity_B.copy(),
            copy.deepcopy(self.generators),
            self._reset_values,
            self._made_by(),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, which stays usable.

        Raises:
            ValueError: if it is none, or of another world, runtime, number of rows or members, or diversity window.
        """
        if not isinstance(snapshot, Snapshot):
            raise ValueError(f"snapshot: expected what snapshot() returned, got {snapshot!r}")
        if snapshot.made_by != self._made_by():
            raise ValueError(
                f"snapshot: expected world, runtime, rows, diversity window and members {self._made_by()}, "
                f"got {snapshot.made_by}"
            )
        self._state = snapshot.state.clone()
        self._temperature_B, self._diversity_B = snapshot.temperature_B.copy(), snapshot.diversity_B.copy()
        self.generators, self._reset_values = copy.deepcopy(snapshot.generators), snapshot.reset_values

    def _made_by(self) -> tuple[str, str, int, int, int]:
        options = self.options
        return self.config.name, options.runtime, self.num_rows, options.diversity_window, options.members

    def __deepcopy__(self, memo: dict[int, Any]) -> DreamBatch:
        copied = object.__new__(DreamBatch)
        for name, value in self.__dict__.items():
            # Starts are many and never change.
            copied.__dict__[name] = value if name == "_reset_values" else copy.deepcopy(value, memo)
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
            require_torch()
            from genie_env.world import check_prompts

            now = now._replace(starts=check_prompts(now.starts, self.config))
        frames = options.get("frames")
        if frames is not None:
            require_torch()
            frames = check_frames(np.asarray(frames), self.config.tokenizer.image_size, "RTHWC")
            if len(frames) != num_rows:
                raise ValueError(f"frames: expected one clip for each of the {num_rows} rows, got {len(frames)}")
        count = len(self._opened.starts[0] if now.starts is None else now.starts.tokens_SPN)
        return now, frames, _check_start(options.get("start"), count)

    def _encoded(self, frames_RTHWC: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of clips, and the latent actions between their frames."""
        tokens_RPN, actions_RP = self.world.prompts(frames_RTHWC)
        return tokens_RPN.cpu().numpy(), actions_RP.cpu().numpy()

    def _drawn(
        self, starts: Prompts | None, generators: list[np.random.Generator], start: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """One beginning a row: number ``start``, or what the row's generator draws."""
        tokens_SPN, actions_SP = self._opened.starts if starts is None else (part.cpu().numpy() for part in starts)
        picks = [int(g.integers(len(tokens_SPN))) if start is None else start for g in generators]
        return tokens_SPN[picks], actions_SP[picks]


def _with_consequences(step: DreamStep, options: ResolvedOptions) -> DreamStep:
    """A step with what follows from its uncertainty: a lower reward, and an end where it is too great.

    The penalty is that of MOPO (Yu et al. 2020, arXiv 2005.13239), the end that of MOReL's pessimistic world (Kidambi
    et al. 2020, arXiv 2005.05951), as a truncation: the game goes on, only the dream is worth nothing from there.
    """
    if step.uncertainty_B is None:
        return step
    reward_B = step.reward_B - options.uncertainty_penalty * step.uncertainty_B.astype(np.float64)
    most = options.max_uncertainty
    return step._replace(reward_B=reward_B, truncated_B=None if most is None else step.uncertainty_B > most)


def _check_start(start: Any, count: int) -> int | None:
    if start is None:
        return None
    if isinstance(start, bool) or not isinstance(start, (int, np.integer)) or not 0 <= start < count:
        raise ValueError(f"start: expected an integer from 0 to {count - 1}, got {start!r}")
    return int(start)
