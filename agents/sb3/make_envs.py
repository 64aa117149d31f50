"""The environments that agents learn and are scored in: many dreams, or many real games, with one interface.

Both give the observations and take the actions of a policy's :class:`PolicySpec`, so a policy moves between them
unchanged. Owns how they are made; knows nothing about learning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecFrameStack
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from agents.real_env import make_real_env
from agents.sb3.vec_env import GenieVecEnv
from genie_env.action_map import latent_tables, to_real
from genie_env.cluster.make_rows import make_rows
from genie_env.config import ActionMapConfig
from genie_env.data.checks import require_spaces_of
from genie_env.data.clips import draw_clips
from genie_env.data.episodes import EpisodeStore
from genie_env.envs.dream_batch import observation_space
from genie_env.frames import to_gray
from genie_env.policies.spec import PolicySpec
from genie_env.world import Prompts, World

RANDOM_ACTIONS = 30
"""Most random actions that a real game begins with."""
STARTS_AT_ONCE = 64
"""Beginnings that a world looks at together; one without a latent action model needs a second for each alone."""


class PolicyActions(VecEnvWrapper):
    """Turns a policy's actions into those of the environment below."""

    def __init__(self, venv: VecEnv, actions: tuple[int, ...]) -> None:
        super().__init__(venv, action_space=gym.spaces.Discrete(len(actions)))
        self._actions = np.array(actions)

    def reset(self) -> VecEnvObs:
        """Reset the environment below."""
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Play a policy's actions [B]."""
        self.venv.step_async(self._actions[actions])

    def step_wait(self) -> VecEnvStepReturn:
        """Observations, rewards, ends and infos of the step."""
        return self.venv.step_wait()


class StickyActions(VecEnvWrapper):
    """Repeats a row's last action now and then instead of a new one (Machado et al. 2018, arXiv 1709.06009)."""

    def __init__(self, venv: VecEnv, probability: float) -> None:
        super().__init__(venv)
        self._probability, self._rng = probability, np.random.default_rng()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the repetitions and the environment below."""
        self._rng = np.random.default_rng(seed)
        return self.venv.seed(seed)

    def reset(self) -> VecEnvObs:
        """Reset the environment below."""
        self._last_B = np.full(self.num_envs, -1)
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Play a policy's actions [B], or the ones before."""
        repeats_B = (self._rng.random(self.num_envs) < self._probability) & (self._last_B >= 0)
        self._last_B = np.where(repeats_B, self._last_B, actions)
        self.venv.step_async(self._last_B)

    def step_wait(self) -> VecEnvStepReturn:
        """Observations, rewards, ends and infos of the step."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self._last_B = np.where(dones, -1, self._last_B)
        return observations, rewards, dones, infos


class LatentAsReal(VecEnvWrapper):
    """Turns latent actions into real ones; where a code stands for several, the action before decides."""

    def __init__(self, venv: VecEnv, mapped: ActionMapConfig) -> None:
        super().__init__(venv, action_space=gym.spaces.Discrete(len(mapped.latent_to_real)))
        self._mapped = mapped

    def reset(self) -> VecEnvObs:
        """Reset the environment below."""
        self._real_B = np.full(self.num_envs, -1)
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Play latent actions [B]."""
        self._real_B = to_real(self._mapped, np.asarray(actions), self._real_B)
        self.venv.step_async(self._real_B)

    def step_wait(self) -> VecEnvStepReturn:
        """Observations, rewards, ends and infos of the step."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self._real_B = np.where(dones, -1, self._real_B)
        return observations, rewards, dones, infos


class RealThroughLatent(LatentAsReal):
    """Turns real actions into latent codes and back, as a dream and its action map do."""

    def __init__(self, venv: VecEnv, mapped: ActionMapConfig) -> None:
        super().__init__(venv, mapped)
        self.action_space = venv.action_space
        self._codes = latent_tables(mapped)

    def step_async(self, actions: np.ndarray) -> None:
        """Play the real actions [B] that the codes stand for."""
        super().step_async(self._codes[self._real_B, actions])


class WorldObservations(VecEnvWrapper):
    """Turns the real game's frames into a policy's observations: colour, grey, or the world's tokens."""

    def __init__(self, venv: VecEnv, world: World, obs_type: str) -> None:
        super().__init__(venv, observation_space=observation_space(world.config, obs_type))
        self._world, self._obs_type = world, obs_type

    def reset(self) -> VecEnvObs:
        """Reset the environment below."""
        self._frames_BHWC = np.asarray(self.venv.reset())
        return self._see(self._frames_BHWC)

    def step_wait(self) -> VecEnvStepReturn:
        """Observations of this kind, the terminal ones included."""
        frames, rewards, dones, infos = self.venv.step_wait()
        self._frames_BHWC = np.asarray(frames)
        for row in np.flatnonzero(dones):
            infos[row]["terminal_observation"] = self._see(infos[row]["terminal_observation"][None])[0]
        return self._see(frames), rewards, dones, infos

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The present frames themselves."""
        return list(self._frames_BHWC)

    def _see(self, frames_BHWC: Any) -> np.ndarray:
        if self._obs_type == "grayscale":
            return to_gray(frames_BHWC)
        if self._obs_type == "tokens":
            return self._world.encode(frames_BHWC[:, None])[:, 0].cpu().numpy()
        return frames_BHWC


class RandomStart(gym.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """Begins a game with a random number of random actions, without a point scored.

    Without sticky actions the emulator plays the same game for the same actions. With random starts, policies that draw
    their actions play different games. In Pong a policy that takes its likeliest actions has moved its paddle to the
    same place before the first serve, and still plays the same game every time.
    """

    def __init__(self, env: gym.Env[np.ndarray, Any], most: int) -> None:
        super().__init__(env)
        self._most, self._rng = most, np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start a game and play random actions."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        obs, info = self.env.reset(seed=seed, options=options)
        num_actions = int(self.env.action_space.n)  # type: ignore[attr-defined]
        for _ in range(int(self._rng.integers(self._most + 1))):
            obs, reward, terminated, truncated, info = self.env.step(int(self._rng.integers(num_actions)))
            if reward or terminated or truncated:
                return self.env.reset(options=options)
        return obs, info


def make_dreams(
    world: str | Path,
    spec: PolicySpec,
    num_envs: int,
    *,
    horizon: int | None = None,
    starts: Prompts | None = None,
    max_entropy: float = math.inf,
    repeat_action_probability: float = 0.0,
    **options: Any,
) -> VecEnv:
    """Dreams with these spec.

    Args:
        world: bundled name, folder or ``hf://`` address.
        spec: of the policy.
        num_envs: rows.
        horizon: steps after which a dream is cut off (learners bootstrap there); None: 27,000.
        starts: beginnings to draw from; the default is the world's own.
        max_entropy: as in :class:`GenieVecEnv`.
        repeat_action_probability: with which a row repeats its last action, in [0, 1).
        options: of :func:`~genie_env.cluster.make_rows.make_rows`, such as ``temperature``, ``device`` and ``ray``.

    Raises:
        ValueError: if the world or an option is not as expected.
    """
    kwargs = {} if horizon is None else {"max_episode_steps": horizon}
    envs = make_rows(world, num_envs, obs_type=spec.obs_type, action_type=spec.action_type, **kwargs, **options)
    dreams: VecEnv = PolicyActions(GenieVecEnv(envs, max_entropy, starts), spec.dream_actions)
    if repeat_action_probability:
        dreams = StickyActions(dreams, repeat_action_probability)
    return VecFrameStack(dreams, spec.frame_stack)


def make_real_games(
    world: World, spec: PolicySpec, num_envs: int, random_starts: bool = True, through_codes: bool = False
) -> VecEnv:
    """Real games with these spec.

    Args:
        world: opened; its source game is made, and its tokenizer used where its observations are tokens.
        spec: of the policy.
        num_envs: games played at once.
        random_starts: whether games begin with up to 30 random actions.
        through_codes: send real actions through the world's latent codes and back.

    Raises:
        ImportError: if the game is not installed; the message names the extra.
        ValueError: if the world names no source game.
    """
    most = RANDOM_ACTIONS if random_starts else 0
    games = DummyVecEnv([lambda: RandomStart(make_real_env(world), most)] * num_envs)
    seen, mapped = WorldObservations(games, world, spec.obs_type), world.config.action_map
    if spec.action_type == "latent" and mapped is not None and mapped.latent_to_real_after:
        return VecFrameStack(LatentAsReal(seen, mapped), spec.frame_stack)
    if through_codes and mapped is not None:
        seen = RealThroughLatent(seen, mapped)
    return VecFrameStack(PolicyActions(seen, spec.real_actions), spec.frame_stack)


def recorded_starts(world: World, data: Path, count: int, length: int = 8, seed: int = 0) -> Prompts:
    """Beginnings drawn evenly from all moments of recorded training episodes, whatever the score.

    Args:
        world: encodes them.
        data: recording.
        count: number of beginnings.
        length: frames of each.
        seed: of the draw.

    Raises:
        ValueError: if the recording cannot be read, is of a game with other frames or actions, or no episode is that
            long.
    """
    store, rng = EpisodeStore(data), np.random.default_rng(seed)
    require_spaces_of(world.config, store.manifest.source, data)
    # One frame more than is taken: an episode's last frame begins nothing.
    drawn, prompts = draw_clips(store, "train", rng, count, length + 1), []
    for begin in range(0, count, STARTS_AT_ONCE):
        part = drawn[begin : begin + STARTS_AT_ONCE]
        clips = [store.array("frames", entry)[first : first + length] for entry, first in part]
        prompts.append(world.prompts(np.stack(clips)))
    return Prompts(torch.cat([p.tokens_SPN for p in prompts]), torch.cat([p.actions_SP for p in prompts]))


@torch.inference_mode()
def usual_entropy(world: World, starts: Prompts, percentile: float) -> float:
    """Token entropy in nats below which so many percent of predictions from real frames stay.

    Each start's last frame is predicted from the real frames before it. Some uncertainty is in the game itself (a
    serve); a dream that is less certain than nearly all of these predictions has left what the world knows.
    """
    tokens_SPN, actions_SP = (part.to(world.device) for part in starts)
    if tokens_SPN.shape[1] < 2:
        raise ValueError("expected beginnings of at least two frames to predict one from the other")
    engine, entropies = world.engine(), []
    for tokens, actions in zip(tokens_SPN.split(64), actions_SP.split(64), strict=True):
        keys_B = torch.arange(len(tokens), device=world.device)
        rollout = engine.roll(tokens[:, :-1], actions[:, :-1], actions[:, -1:], keys_B=keys_B)
        entropies.append(rollout.entropy_BT[:, 0])
    return float(np.percentile(torch.cat(entropies).cpu().numpy(), percentile))
