"""Policies for the tests, made without learning anything and without stable-baselines3."""

from __future__ import annotations

from pathlib import Path

import torch

from genie_env.config import WorldConfig
from genie_env.files.atomic import write_json
from genie_env.files.reading import checksum
from genie_env.files.tensors import write_tensors
from genie_env.policies.config import JSON, TENSORS, policy_config
from genie_env.policies.spec import make_policy_spec
from genie_env.policies.token_policy import FEATURES_DIM, PLACE_DIM, TOKEN_DIM


def make_token_policy(
    folder: Path, config: WorldConfig, world: str, action_type: str = "real", always: int | None = None, seed: int = 0
) -> Path:
    """Write a policy of random weights for a world.

    Args:
        folder: to make.
        config: of the world.
        world: name or folder of the world that the policy remembers.
        action_type: of its actions.
        always: action of the policy that it chooses whatever it sees.
        seed: of the weights.
    """
    spec = make_policy_spec(config, "tokens", action_type)
    about = policy_config(config, world, "ppo", "tokens", spec)
    generator = torch.Generator().manual_seed(seed)
    linear = {
        "features_extractor.place": (PLACE_DIM, spec.frame_stack * TOKEN_DIM),
        "features_extractor.mix": (FEATURES_DIM, about.num_tokens * PLACE_DIM),
        "action_net": (spec.num_actions, FEATURES_DIM),
        "value_net": (1, FEATURES_DIM),
    }
    tensors = {"features_extractor.embed.weight": torch.randn(about.vocab_size, TOKEN_DIM, generator=generator)}
    for name, shape in linear.items():
        tensors[f"{name}.weight"] = torch.randn(shape, generator=generator) / shape[1] ** 0.5
        tensors[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    if always is not None:
        tensors["action_net.bias"][always] = 1e3
    write_tensors(folder / TENSORS, tensors)
    write_json(folder / JSON, {**about.to_json(), "sha256": checksum(folder / TENSORS)})
    return folder
