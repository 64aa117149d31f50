"""Learned policies on disk: ``policy.json`` and ``policy.safetensors`` in a folder. Never a pickle.

stable-baselines3's own ``save`` stores pickled objects, and loading those runs whatever they contain. Here a policy
is plain settings from which the network is built, and tensors that must fit it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from agents.sb3.networks import NETWORKS, policy_settings
from agents.sb3.policy_spec import PolicySpec
from genie_env.config import WorldConfig
from genie_env.config.bounds import require_sizes, require_texts
from genie_env.files.atomic import write_json
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import JSON_BYTES, checksum, read_json
from genie_env.files.tensors import fill_weights, read_tensors, uninitialised, weights_of, write_tensors
from genie_env.hub.address import is_hub_address, parse_address
from genie_env.hub.download import Contents, fetch

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "a2c": A2C, "dqn": DQN}
FORMAT = "genie-env-policy-2"
JSON, TENSORS = "policy.json", "policy.safetensors"
MAX_BYTES = 2**30
"""Largest file of tensors of a policy that is read."""
SIZES = {"cnn": ("image_size", (36, 256)), "small_cnn": ("image_size", (20, 256)), "tokens": ("num_tokens", (1, 4096))}
"""What each network is built for, from its first layer to a last one that grows with it."""


@dataclass(frozen=True)
class PolicyConfig(JsonConfig):
    """Everything about a policy except its weights."""

    world: str
    """Bundled name, folder or hf:// address of the world whose observations it takes."""
    algo: str
    """Algorithm of stable-baselines3 that trained it: ``ppo``, ``a2c`` or ``dqn``."""
    network: str
    """Network that turns observations into features: ``cnn``, ``small_cnn`` or ``tokens``."""
    spec: PolicySpec
    """Observations and actions of the policy."""
    image_size: int
    """Edge of a frame in pixels."""
    num_tokens: int
    """Tokens of a frame."""
    vocab_size: int
    """Tokens that there are."""
    trained: dict[str, Any] = field(default_factory=dict)
    """Where, how long and with which settings it learned."""
    sha256: str = ""
    format: str = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"policy format: expected {FORMAT!r}, got {self.format!r}")
        if self.algo not in ALGORITHMS:
            raise ValueError(f"algo: expected one of {sorted(ALGORITHMS)}, got {self.algo!r}")
        if (self.network == "tokens") != (self.spec.obs_type == "tokens"):
            raise ValueError(f"policy: {self.network!r} cannot read obs_type {self.spec.obs_type!r}")
        if self.network not in NETWORKS:
            raise ValueError(f"policy: expected one of {list(NETWORKS)}, got {self.network!r}")
        require_texts("world", [self.world], longest=4096)
        # A policy that sees pictures may come from a game of which there is no world.
        require_sizes(self, may_be_zero=("num_tokens", "vocab_size") if self.network != "tokens" else ())
        what, (low, high) = SIZES[self.network]
        if not low <= getattr(self, what) <= high:
            raise ValueError(f"{what}: expected {low} to {high} for {self.network!r}, got {getattr(self, what)}")


def policy_config(config: WorldConfig, world: str, algo: str, network: str, spec: PolicySpec) -> PolicyConfig:
    """Configuration of an untrained policy for a world."""
    tokenizer = config.tokenizer
    return PolicyConfig(world, algo, network, spec, tokenizer.image_size, tokenizer.num_tokens, tokenizer.vocab_size)


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


def find_policy(policy: Path | str) -> Path:
    """Folder of a policy: the one named, or the Hub's in its cache, as :func:`genie_env.hub.download.fetch`."""
    return fetch(parse_address(policy), CONTENTS).folder if is_hub_address(policy) else Path(policy)


def own_folder(policy: Path) -> Path:
    """Folder of a policy in which results may be written.

    Raises:
        ValueError: for a policy of the Hub.
    """
    if is_hub_address(policy):
        raise ValueError(f"out: expected a folder for the results, since {parse_address(policy)} is on the Hub")
    return policy


def read_policy_config(folder: Path) -> PolicyConfig:
    """Everything about a policy except its weights.

    Raises:
        FileError: if the file is missing, damaged or of another format.
    """
    content = read_json(folder / JSON, "the JSON of a policy")
    try:
        return PolicyConfig.from_json(content)
    except ValueError as error:
        raise FileError(folder / JSON, f"expected the JSON of a policy ({error})") from None


CONTENTS = Contents(
    "policy",
    JSON,
    {JSON: JSON_BYTES, TENSORS: MAX_BYTES},
    lambda folder: {TENSORS: read_policy_config(folder).sha256},
)
"""What a repository of a policy holds."""
