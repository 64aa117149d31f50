"""A policy that has learned plays games that record it: it draws its actions, more or less at random, and explores.

Owns how actions are drawn. Knows nothing about which game it plays.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack
from stable_baselines3.dqn.policies import DQNPolicy
from torch.distributions import Categorical

from agents.sb3.guided_policy import Guide
from agents.sb3.make_envs import PolicyActions
from agents.sb3.recorded_games import RecordedGames, See
from agents.sb3.recorded_shards import Shards
from genie_env.bundle import load_world
from genie_env.config import SourceConfig
from genie_env.envs.dream_batch import observation_space
from genie_env.frames import to_gray
from genie_env.policies.config import PolicyConfig


def check_policy(config: PolicyConfig, source: SourceConfig) -> None:
    """Do nothing if a policy can play this game.

    Raises:
        ValueError: if it sees or acts otherwise; says what was expected.
    """
    spec, num_actions = config.spec, len(source.action_meanings)
    if spec.action_type != "real":
        raise ValueError(f"policy: expected one that chooses real actions, got action_type {spec.action_type!r}")
    if not 0 <= min(spec.real_actions) <= max(spec.real_actions) < num_actions:
        raise ValueError(
            f"policy: chooses actions up to {max(spec.real_actions)}; {source.env_id} has {num_actions} actions"
        )
    if config.image_size != source.image_size:
        raise ValueError(f"policy: sees frames of {config.image_size} pixels; use --image-size {config.image_size}")


def eyes_of(config: PolicyConfig, source: SourceConfig) -> tuple[gym.Space[np.ndarray], See]:
    """Space of what a policy sees of one frame, and what makes that of frames.

    Raises:
        ValueError: if it sees tokens and its world cannot be opened.
    """
    size = source.image_size
    if config.spec.obs_type == "tokens":
        world = load_world(config.world, "cpu")
        return observation_space(world.config, "tokens"), lambda frames: world.encode(frames[:, None])[:, 0].numpy()
    if config.spec.obs_type == "rgb":
        return gym.spaces.Box(0, 255, (size, size, 3), np.uint8), np.asarray
    return gym.spaces.Box(0, 255, (size, size, 1), np.uint8), to_gray


def play_policy(
    policy: BasePolicy,
    config: PolicyConfig,
    games: RecordedGames,
    shards: Shards,
    temperatures: tuple[float, ...],
    explored: float,
    seed: int,
) -> None:
    """Play to the end of the budget; every game has a temperature of its own and is recorded under it.

    A policy may be so sure of its actions that all its games are the same; games that explore now and then differ.

    Args:
        policy: as loaded.
        config: of the policy.
        games: that see with :func:`eyes_of` the policy.
        shards: where play is written.
        temperatures: what logits are divided by, one drawn for each game; 1 plays as the policy learned.
        explored: share of the games that are played by players that explore, a stretch at a time.
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, len(shards.lines)])
    venv: VecEnv = VecFrameStack(PolicyActions(games, config.spec.real_actions), config.spec.frame_stack)
    observations: Any = venv.reset()
    temperatures_B = rng.choice(temperatures, games.num_envs)
    games.players = [_name(temperature) for temperature in temperatures_B]
    guide = Guide(config.spec.num_actions, games.num_envs, rng, lambda: explored)
    with shards.bar() as bar:
        while not shards.done:
            logits_BA = logits(policy, observations)
            # The largest of logits with Gumbel noise is a draw from their softmax.
            noisy_BA = logits_BA / temperatures_B[:, None] + rng.gumbel(size=logits_BA.shape)
            chosen_B = noisy_BA.argmax(1)
            replaced_B = guide.replace(chosen_B)
            observations, _, ended_B, _ = venv.step(chosen_B if replaced_B is None else replaced_B)
            for row in np.flatnonzero(ended_B):
                temperatures_B[row] = rng.choice(temperatures)
                games.players[row] = _name(temperatures_B[row])
            bar.update(games.num_envs)
            if shards.due(games):
                shards.close(games)


@torch.no_grad()
def logits(policy: BasePolicy, observations: np.ndarray) -> np.ndarray:
    """Logits of the actions, float64 [B, A]; of a DQN its values, whose softmax explores (Boltzmann)."""
    seen, _ = policy.obs_to_tensor(observations)
    if isinstance(policy, DQNPolicy):
        return policy.q_net(seen).double().numpy()
    assert isinstance(policy, ActorCriticPolicy)
    categorical = policy.get_distribution(seen).distribution
    assert isinstance(categorical, Categorical)
    return categorical.logits.double().numpy()


def _name(temperature: float) -> str:
    return f"policy_t{temperature:g}"
