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


class StateScale(BaseFeaturesExtractor):
    """A game's own numbers, each shifted and scaled to mean 0 and variance 1 over everything that was learned from."""

    mean_D: torch.Tensor
    variance_D: torch.Tensor
    count: torch.Tensor

    def __init__(self, observation_space: gym.spaces.Box) -> None:
        size = observation_space.shape[0]
        super().__init__(observation_space, size)
        # Buffers, so that they are stored with the weights and a resumed learner sees as it did.
        self.register_buffer("mean_D", torch.zeros(size))
        self.register_buffer("variance_D", torch.ones(size))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Numbers float [B, D] -> features [B, D] between -10 and 10; in training mode they are counted first."""
        if self.training:
            self._count(observations)
        return ((observations - self.mean_D) / (self.variance_D + 1e-6).sqrt()).clamp(-10, 10)

    @torch.no_grad()
    def _count(self, observations_BD: torch.Tensor) -> None:
        """Join the moments of a batch with those before it (Chan, Golub and LeVeque 1983)."""
        batch = len(observations_BD)
        total = self.count + batch
        away_D = observations_BD.mean(0) - self.mean_D
        squares_D = self.variance_D * self.count + observations_BD.var(0, correction=0) * batch
        self.variance_D.copy_((squares_D + away_D**2 * self.count * batch / total) / total)
        self.mean_D.add_(away_D * batch / total)
        self.count.copy_(total)


def state_policy_settings() -> dict[str, Any]:
    """``policy_kwargs`` of an algorithm that sees a game's own numbers: two small layers for actor and critic each."""
    return {"features_extractor_class": StateScale, "net_arch": [64, 64]}


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
