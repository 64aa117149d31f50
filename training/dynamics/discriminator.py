"""A discriminator of clips, which tells dreamed frames from the game's (Professor Forcing, arXiv 1610.09038).

The dream is drawn, so no gradient comes through it. The discriminator's reaches the probabilities that each dreamed
frame was drawn from, straight through the draw (arXiv 1308.3432), and no further back in time.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import nn

from genie_env.config import DynamicsConfig
from genie_env.models.dynamics import Dynamics
from training.dynamics.scheduled_sampling import Dreamed
from training.engine.adversarial import Judgement, judge


class ClipFeatures(nn.Module):
    """Convolutions over places and time of a clip's tokens; each sees seven frames and most of the picture."""

    def __init__(self, vocab_size: int, side: int, token_dim: int = 32, width: int = 32) -> None:
        super().__init__()
        self.side, self.channels = side, 2 * width
        self.embed = nn.Embedding(vocab_size, token_dim)
        self.position = nn.Parameter(torch.zeros(side**2, width))
        self.enter = nn.Linear(token_dim, width, bias=False)
        self.layers = nn.Sequential(
            nn.Conv3d(width, width, 3, (1, 2, 2), 1),
            nn.LeakyReLU(0.2),
            nn.Conv3d(width, 2 * width, 3, (1, 2, 2), 1),
            nn.LeakyReLU(0.2),
            nn.Conv3d(2 * width, 2 * width, 3, 1, 1),
            nn.LeakyReLU(0.2),
        )

    def forward(self, embedded_BTNE: torch.Tensor, given_BTD: torch.Tensor | float = 0.0) -> torch.Tensor:
        """Embedded tokens, and what else is known of each frame -> features [B, C, T, h, w]."""
        given_BT1D = given_BTD[:, :, None] if isinstance(given_BTD, torch.Tensor) else given_BTD
        x_BTND = self.enter(embedded_BTNE) + self.position + given_BT1D
        return self.layers(rearrange(x_BTND, "b t (y x) d -> b d t y x", y=self.side))


class ClipDiscriminator(nn.Module):
    """Scores of every frame of a clip, which it compares with those before and after and the actions between."""

    def __init__(self, config: DynamicsConfig, width: int = 32) -> None:
        super().__init__()
        self.features = ClipFeatures(config.vocab_size, config.side, config.token_dim, width)
        self.embed_action = nn.Embedding(config.num_actions, width)
        self.leave = nn.Conv3d(self.features.channels, 1, 1)

    @torch.no_grad()
    def init_embedding(self, model: Dynamics) -> None:
        """Begin from the embeddings of the dynamics, in which alike tokens are near."""
        self.features.embed.weight.copy_(model.embed.weight[:-1])

    def forward(
        self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor, probabilities_BKNV: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Scores [B, T, h, w]; higher is more real.

        Args:
            tokens_BTN: int64 frames.
            actions_BT: int64 [B, T-1], actions between them.
            probabilities_BKNV: that the last K frames were drawn from; the gradient goes there, straight through.
        """
        embedded_BTNE = self.features.embed(tokens_BTN)
        if probabilities_BKNV is not None:
            # Zero, with the gradient of the expected embedding.
            through = (probabilities_BKNV - probabilities_BKNV.detach()) @ self.features.embed.weight
            before = tokens_BTN.shape[1] - through.shape[1]
            embedded_BTNE = torch.cat([embedded_BTNE[:, :before], embedded_BTNE[:, before:] + through], 1)
        led_BTD = nn.functional.pad(self.embed_action(actions_BT), (0, 0, 1, 0))
        return self.leave(self.features(embedded_BTNE, led_BTD))[:, 0]


def judge_dreams(
    model: Dynamics | None,
    discriminator: nn.Module,
    real_BTN: torch.Tensor,
    actions_BT: torch.Tensor,
    dreamed: Dreamed,
) -> Judgement:
    """Scores of the dreamed frames, and of the real ones in their places.

    Args:
        model: that dreamed; None: it does not learn from the scores.
        discriminator: a :class:`ClipDiscriminator`.
        real_BTN: int64 clips of the batch.
        actions_BT: int64 action taken at each frame; the last frame's may be missing.
        dreamed: what the model made of some of them.
    """
    tokens_RTN, rows_R, frames = dreamed
    taken_BT = actions_BT[:, : real_BTN.shape[1] - 1]
    judged = None
    if model is not None:
        probabilities = _drawn_from(model, tokens_RTN, taken_BT[rows_R], frames)
        judged = judge(discriminator, tokens_RTN, taken_BT[rows_R], probabilities)[:, -frames:]
    real, made = discriminator(real_BTN, taken_BT), discriminator(tokens_RTN, taken_BT[rows_R])
    return Judgement(real[:, -frames:], made[:, -frames:], judged)


def _drawn_from(model: Dynamics, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor, frames: int) -> torch.Tensor:
    """Probabilities [B, frames, N, V] of each of the last frames, given those before."""
    features = model.trunk(tokens_BTN[:, :-1], actions_BT)[:, -frames:].flatten(0, 1)
    current = tokens_BTN[:, -frames - 1 : -1].flatten(0, 1)
    head_out = model.decode(features, torch.full_like(current, model.mask_token))
    return model.log_probs(head_out, current).exp().unflatten(0, (-1, frames))
