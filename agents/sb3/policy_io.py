"""Learned policies as networks of stable-baselines3: built from their settings, written, and read back.

stable-baselines3's own ``save`` stores pickled objects, and loading those runs whatever they contain. Here a policy
is plain settings from which the network is built, and tensors that must fit it exactly.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from agents.sb3.networks import policy_settings
from genie_env.files.atomic import write_json
from genie_env.files.reading import checksum
from genie_env.files.tensors import fill_weights, read_tensors, uninitialised, weights_of, write_tensors
from genie_env.policies.config import JSON, MAX_BYTES, TENSORS, PolicyConfig, find_policy, read_policy_config

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "a2c": A2C, "dqn": DQN}


def build_policy(config: PolicyConfig) -> BasePolicy:
    """An untrained network for ``config``, on the CPU."""
    spec, stack = config.spec, config.spec.frame_stack
    if spec.obs_type == "tokens":
        shape = (stack * config.num_tokens,)
        observations = gym.spaces.Box(0, config.vocab_size - 1, shape, np.int64)
    else:
        channels = stack * (1 if spec.obs_type == "grayscale" else 3)
        observations = gym.spaces.Box(0, 255, (channels, config.image_size, config.image_size), np.uint8)
    kind = ALGORITHMS[config.algo].policy_aliases["CnnPolicy"]
    # The schedule is of a learning rate that is never used: this network only plays.
    with torch.random.fork_rng(devices=[]):
        return kind(
            observations,
            gym.spaces.Discrete(spec.num_actions),
            lambda _: 0.0,
            **policy_settings(config.network, config.num_tokens),
        )


def save_policy(folder: Path, policy: BasePolicy, config: PolicyConfig) -> None:
    """Write a policy; the JSON comes last and names the checksum of the tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / TENSORS, weights_of(policy))
    write_json(folder / JSON, {**config.to_json(), "sha256": checksum(folder / TENSORS)})


def load_policy(folder: Path | str) -> tuple[BasePolicy, PolicyConfig]:
    """Read a policy back, ready to play.

    Args:
        folder: of the policy, or an address of the Hub, ``hf://user/repo@revision``.

    Raises:
        ValueError: if a file is missing, damaged, of another format, or does not fit; names the file.
    """
    folder = find_policy(folder)
    config, path = read_policy_config(folder), folder / TENSORS
    with uninitialised():
        policy = build_policy(config)
    tensors = read_tensors(path, weights_of(policy), config.sha256, max_bytes=MAX_BYTES)
    fill_weights(policy, tensors, path)
    policy.set_training_mode(False)
    return policy, config
