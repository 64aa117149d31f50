"""The policy network that reads a world's tokens, in NumPy: what ``agents`` trained plays wherever a world plays.

Owns the forward pass and the check of its tensors; equal to stable-baselines3's up to rounding. Knows nothing of
environments, of learning, or of how an action is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genie_env.files.errors import FileError
from genie_env.files.tensor_file import read_tensor_file
from genie_env.files.tensor_header import HEADER_BYTES
from genie_env.policies.config import JSON, TENSORS, PolicyConfig, find_policy, read_policy_config

TOKEN_DIM, PLACE_DIM, FEATURES_DIM = 16, 32, 256
"""Widths of a token's entry in the table, of the features of one place in the picture, and of those of all of it."""
ACTOR_CRITICS = ("ppo", "a2c")
"""Algorithms whose policies hold logits of actions."""


@dataclass(frozen=True)
class TokenPolicy:
    """A policy ready to play."""

    config: PolicyConfig
    weights: Mapping[str, np.ndarray]
    """float32, by the names of stable-baselines3."""

    def logits(self, tokens_BX: np.ndarray) -> np.ndarray:
        """Logits of the actions, float32 [B, A].

        Args:
            tokens_BX: stacked frames of tokens, the newest last, int [B, frame_stack * num_tokens].
        """
        w, count = self.weights, len(tokens_BX)
        tokens_BFN = tokens_BX.reshape(count, self.config.spec.frame_stack, self.config.num_tokens)
        x_BNFE = w["features_extractor.embed.weight"][tokens_BFN].transpose(0, 2, 1, 3)
        x_BNX = x_BNFE.reshape(count, self.config.num_tokens, -1)
        x_BNP = np.maximum(_linear(x_BNX, w, "features_extractor.place"), 0)
        x_BD = np.maximum(_linear(x_BNP.reshape(count, -1), w, "features_extractor.mix"), 0)
        return _linear(x_BD, w, "action_net")


def load_token_policy(policy: Path | str) -> TokenPolicy:
    """Read a policy that plays without stable-baselines3.

    Args:
        policy: folder, or an address of the Hub, ``hf://user/repo@revision``.

    Raises:
        ValueError: if a file is missing, damaged, of another format, or does not fit, or the policy has another
            network; names the file.
    """
    folder = find_policy(policy)
    config, path = read_policy_config(folder), folder / TENSORS
    if config.network != "tokens" or config.algo not in ACTOR_CRITICS:
        raise FileError(
            folder / JSON,
            f"expected a policy of the network 'tokens' that {' or '.join(ACTOR_CRITICS)} trained, got "
            f"{config.network!r} by {config.algo}; train one with `python -m agents.train_ppo --policy tokens`",
        )
    shapes = _shapes(config)
    most = HEADER_BYTES + sum(8 * math.prod(shape) for shape in shapes.values())
    arrays = read_tensor_file(path, shapes, config.sha256, max_bytes=most).arrays
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise FileError(path, f"{name}: expected floating-point numbers, got {array.dtype}")
    return TokenPolicy(config, {name: array.astype(np.float32) for name, array in arrays.items()})


def _shapes(config: PolicyConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors."""
    linear = {
        "features_extractor.place": (PLACE_DIM, config.spec.frame_stack * TOKEN_DIM),
        "features_extractor.mix": (FEATURES_DIM, config.num_tokens * PLACE_DIM),
        "action_net": (config.spec.num_actions, FEATURES_DIM),
        "value_net": (1, FEATURES_DIM),
    }
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in linear.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in linear.items()}
    return shapes | {"features_extractor.embed.weight": (config.vocab_size, TOKEN_DIM)}


def _linear(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
