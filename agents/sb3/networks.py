"""Networks that turn an observation into features, as stable-baselines3's algorithms take them.

``cnn`` is its own NatureCNN (Mnih et al. 2015); the other two do a fraction of that work, which on two CPU cores is
what bounds learning in a dream.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
import torch.nn.functional as F
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from torch import nn

from genie_env.nn.embeddings import half_whitened_components
from genie_env.policies.config import NETWORKS
from genie_env.policies.token_policy import FEATURES_DIM, PLACE_DIM, TOKEN_DIM


class SmallCNN(BaseFeaturesExtractor):
    """The network of Mnih et al. 2013: two convolutions, a third of NatureCNN's work."""

    def __init__(self, observation_space: gym.spaces.Box, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        channels, size = observation_space.shape[0], observation_space.shape[1]
        inner = ((size - 8) // 4 + 1 - 4) // 2 + 1
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * inner**2, features_dim),
            nn.ReLU(),
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Pictures float [B, C, H, W] in [0, 1] -> features [B, features_dim]."""
        return self.layers(observations)


class TokenNet(BaseFeaturesExtractor):
    """Reads a world's tokens without ever drawing a picture.

    Looking a token up in a table is what a convolution as large as a patch computes, at none of the cost.
    """

    def __init__(
        self,
        observation_space: gym.spaces.Box,
        num_tokens: int,
        token_dim: int = TOKEN_DIM,
        place_dim: int = PLACE_DIM,
        features_dim: int = FEATURES_DIM,
    ) -> None:
        """Size the network.

        Args:
            observation_space: stacked tokens, [frames * num_tokens].
            num_tokens: tokens of one frame.
            token_dim: width of a token's entry in the table.
            place_dim: width of the features of one place, from all stacked frames there.
            features_dim: width of the output.
        """
        super().__init__(observation_space, features_dim)
        frames, vocab = observation_space.shape[0] // num_tokens, int(observation_space.high.max()) + 1
        self.num_tokens = num_tokens
        self.embed = nn.Embedding(vocab, token_dim)
        self.place = nn.Linear(frames * token_dim, place_dim)
        self.mix = nn.Linear(num_tokens * place_dim, features_dim)

    @torch.no_grad()
    def init_from_descriptors(self, descriptors_VK: torch.Tensor) -> None:
        """Let tokens that look alike begin with alike entries."""
        components_VC = half_whitened_components(descriptors_VK.cpu(), self.embed.embedding_dim)
        self.embed.weight.zero_()
        self.embed.weight[:, : components_VC.shape[1]] = components_VC

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Tokens [B, frames * N] -> features [B, features_dim]."""
        x_BFNE = self.embed(observations.long().unflatten(1, (-1, self.num_tokens)))
        x_BNP = F.relu(self.place(x_BFNE.transpose(1, 2).flatten(2)))
        return F.relu(self.mix(x_BNP.flatten(1)))


def policy_settings(network: str, num_tokens: int) -> dict[str, Any]:
    """``policy_kwargs`` of an algorithm: the features, and linear heads on them.

    Raises:
        ValueError: if there is no such network.
    """
    extractors: dict[str, tuple[type[BaseFeaturesExtractor], dict[str, Any]]] = {
        "cnn": (NatureCNN, {}),
        "small_cnn": (SmallCNN, {}),
        "tokens": (TokenNet, {"num_tokens": num_tokens}),
    }
    if network not in extractors:
        raise ValueError(f"policy: expected one of {list(NETWORKS)}, got {network!r}")
    kind, kwargs = extractors[network]
    return {"features_extractor_class": kind, "features_extractor_kwargs": kwargs, "net_arch": []}
