"""Steps per second: of environments, of the engine alone, without its cache, and far into an episode."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch

import genie_env  # noqa: F401 (registers the ids)
from genie_env.bench.clock import seconds_per_call, time_calls
from genie_env.config import SamplingConfig
from genie_env.rollout.engine import RolloutState, StepOutput, draw_frame
from genie_env.rollout.torch_runtime import suitable_threads
from genie_env.world import World

NEAR_STEP, FAR_STEP = 10, 10_000


class EnvSpeed(NamedTuple):
    """Speed of one kind of environment."""

    obs_type: str
    rows: int
    steps_per_second: float
    """Of all rows together."""
    p50_ms: float
    """Median time of one step of all rows."""
    p99_ms: float
    """Time that one step in a hundred exceeds."""
    steps: int
    """Measured steps."""


class EngineSpeed(NamedTuple):
    """Speed of the rollout engine, tensors in and tensors out."""

    rows: int
    tokens_per_second: float
    """Environment steps per second of all rows, tokens only."""
    pixels_per_second: float
    """The same with pictures, left on the device."""


class CacheSpeed(NamedTuple):
    """What the key-value cache gains."""

    rows: int
    cached_per_second: float
    uncached_per_second: float
    """A whole window through the trunk at every step, with all threads."""
    gain: float


class SyncSpeed(NamedTuple):
    """The native vector environment against Gymnasium's ``SyncVectorEnv`` of single environments."""

    rows: int
    native_per_second: float
    sync_per_second: float
    gain: float


class Flatness(NamedTuple):
    """Median time of a step early and late in an episode."""

    near_step: int
    far_step: int
    near_ms: float
    far_ms: float
    ratio: float


def measure(
    world: str,
    obs_type: str,
    rows: int,
    num_steps: int,
    device: str = "auto",
    max_seconds: float = float("inf"),
    vectorization: str = "vector_entry_point",
    compile: bool = False,
) -> EnvSpeed:
    """Step a vector environment with random actions.

    Args:
        world: bundled name, folder or ``hf://`` address.
        obs_type: ``"rgb"``, ``"grayscale"`` or ``"tokens"``.
        rows: environments stepped together.
        num_steps: measured steps, after a few that are not.
        device: torch device, or ``"auto"``.
        max_seconds: measure fewer steps if they would take longer than about this.
        vectorization: ``"sync"`` steps single environments one after another.
        compile: whether ``torch.compile`` builds the step.

    Raises:
        ValueError: if an argument is not as expected.
    """
    if num_steps < 1:
        raise ValueError(f"steps: expected a whole number >= 1, got {num_steps}")
    options: dict[str, Any] = {"world": world, "obs_type": obs_type, "device": device, "compile": compile}
    envs = gym.make_vec("Genie/World-v0", num_envs=rows, vectorization_mode=vectorization, **options)
    try:
        envs.reset(seed=0)
        envs.action_space.seed(0)
        actions = itertools.cycle([envs.action_space.sample() for _ in range(32)])
        # The observation is a NumPy array: a GPU has finished when step returns, and the host's clock tells the time.
        seconds = seconds_per_call(lambda: envs.step(next(actions)), torch.device("cpu"), num_steps, max_seconds)
    finally:
        envs.close()
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return EnvSpeed(obs_type, rows, rows * len(seconds) / float(seconds.sum()), float(p50), float(p99), len(seconds))


class CachedDreams:
    """Random play in the rollout engine, nothing leaving the device."""

    def __init__(self, world: World, rows: int, sampling: SamplingConfig | None = None) -> None:
        self.world, self.rows = world, rows
        self.engine = world.engine(sampling)
        self.state: RolloutState = self.engine.start(*_prompt(world, rows))

    def step(self) -> StepOutput:
        """One step of all rows."""
        actions_B = (self.state.step_B + self.state.key_B) % self.world.config.dynamics.num_actions
        return self.engine.step(self.state, actions_B)

    def step_with_pixels(self) -> torch.Tensor:
        """One step and its pictures, uint8 [B, H, W, 3]."""
        tokens_BN = self.step().tokens_BN
        with torch.inference_mode():
            return self.world.tokenizer.decode(tokens_BN)


class UncachedDreams:
    """The same dreams without a cache: the reference that a cache must equal within one window, and then beat.

    Every step reads the last ``window`` frames again. Frames further back, of which a cache still knows through
    deeper layers, are lost.
    """

    def __init__(self, world: World, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor, key_B: torch.Tensor) -> None:
        self.world, self.key_B = world, key_B
        self.tokens_BTN, self.actions_BT, self.step_B = tokens_BTN, actions_BT, torch.zeros_like(key_B)

    @torch.inference_mode()
    def step(self, sampling: SamplingConfig, actions_B: torch.Tensor, temperature_B: torch.Tensor) -> torch.Tensor:
        """Play one latent action per row; returns the next frame's tokens int64 [B, N]."""
        dynamics, outcome = self.world.dynamics, self.world.outcome
        window, context = dynamics.config.window, outcome.context_frames
        current_BN = self.tokens_BTN[:, -1]
        self.actions_BT = torch.cat([self.actions_BT, actions_B[:, None]], dim=1)[:, -window:]
        features_BGD = dynamics.trunk(self.tokens_BTN[:, -window:], self.actions_BT)[:, -1]
        drawn = draw_frame(dynamics, sampling, features_BGD, current_BN, temperature_B, self.key_B, self.step_B)
        self.tokens_BTN = torch.cat([self.tokens_BTN, drawn.tokens_BN[:, None]], dim=1)[:, -max(window, context) :]
        self.step_B = self.step_B + 1
        outcome.predict(self.tokens_BTN[:, -context:])
        return drawn.tokens_BN


def measure_engine(world: World, rows: int, num_steps: int, max_seconds: float) -> EngineSpeed:
    """Time the engine alone."""
    dreams = CachedDreams(world, rows)
    works = (dreams.step, dreams.step_with_pixels)
    return EngineSpeed(rows, *(_rate(world, rows, work, num_steps, max_seconds) for work in works))


def measure_cache(world: World, rows: int, num_steps: int, max_seconds: float) -> CacheSpeed:
    """Time the engine with and without its cache, over a full window."""
    window = world.config.dynamics.window
    dreams = CachedDreams(world, rows)
    for _ in range(window):
        dreams.step()
    tokens_BTN, actions_BT, key_B = _prompt(world, rows)
    # What the frames show does not matter for time; that the window is full does.
    tokens_BTN = tokens_BTN[:, -1:].expand(-1, window, -1).contiguous()
    actions_BT = torch.zeros_like(tokens_BTN[:, 1:, 0])
    uncached = UncachedDreams(world, tokens_BTN, actions_BT, key_B)
    actions_B = torch.zeros_like(key_B)
    temperature_B = torch.full((rows,), world.config.sampling.temperature, device=world.device)
    work = functools.partial(uncached.step, world.config.sampling, actions_B, temperature_B)
    # A window of frames is work enough for every thread, so here the reference gets them all.
    seconds = seconds_per_call(work, world.device, num_steps, max_seconds)
    slow = rows * len(seconds) / float(seconds.sum())
    fast = _rate(world, rows, dreams.step, num_steps, max_seconds)
    return CacheSpeed(rows, fast, slow, fast / slow)


def measure_sync(world: str, rows: int, num_steps: int, device: str, max_seconds: float) -> SyncSpeed:
    """Time single environments in Gymnasium's ``SyncVectorEnv`` against as many rows of the native one."""
    native, sync = (
        measure(world, "rgb", rows, num_steps, device, max_seconds, kind).steps_per_second
        for kind in ("vector_entry_point", "sync")
    )
    return SyncSpeed(rows, native, sync, native / sync)


def measure_flatness(world: World, far_step: int = FAR_STEP, rounds: int = 20) -> Flatness:
    """Time a step of one row early and late in an episode.

    The young and the old dream step in turns, so that whatever else happens to the machine happens to both.
    """
    young, old = CachedDreams(world, 1), CachedDreams(world, 1)
    young_times, old_times = [], []
    with suitable_threads(1, world.device):
        for dreams, steps in ((young, NEAR_STEP), (old, far_step)):
            time_calls(dreams.step, world.device, steps)
        for _ in range(rounds):
            young_times.append(time_calls(young.step, world.device, 10))
            old_times.append(time_calls(old.step, world.device, 10))
    near, far = (float(np.median(times)) * 1000 for times in (young_times, old_times))
    return Flatness(NEAR_STEP, far_step, near, far, far / near)


def _rate(world: World, rows: int, work: Callable[[], Any], num_steps: int, max_seconds: float) -> float:
    """Environment steps per second of all rows, with as many threads as an environment would use."""
    with suitable_threads(rows, world.device):
        seconds = seconds_per_call(work, world.device, num_steps, max_seconds)
    return rows * len(seconds) / float(seconds.sum())


def _prompt(world: World, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The world's recorded beginnings, one after another, and a key for each row."""
    which = torch.arange(rows) % len(world.starts.tokens_SPN)
    tokens, actions = world.starts.tokens_SPN[which], world.starts.actions_SP[which]
    return tokens.to(world.device), actions.to(world.device), torch.arange(rows, device=world.device)
