"""Outcome head: reward class and termination of a transition, read from the tokens of the frames around it.

It sees the frame just reached, so it reads what the dream really drew, not what might have come.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from genie_env.config import OutcomeConfig

ROW_BLOCK = 16


class OutcomeLogits(NamedTuple):
    """Scores of the reward classes [B, R] and of termination [B]."""

    reward_BR: torch.Tensor
    terminated_B: torch.Tensor


class OutcomeHead(nn.Module):
    """A small MLP over the tokens of ``context_frames`` frames, the last being the one just reached.

    Beside what each token is, it is told where tokens changed: that a digit of the score is another one now says that
    a point was scored, even if a score that high was never seen before.
    """

    rewards_R: torch.Tensor

    def __init__(self, config: OutcomeConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embed = nn.Embedding(c.vocab_size, c.token_dim)
        self.place = nn.Linear(c.context_frames * c.token_dim + c.context_frames - 1, c.token_dim)
        self.norm = nn.LayerNorm(c.num_tokens * c.token_dim)
        self.mix = nn.Linear(c.num_tokens * c.token_dim, c.width)
        self.out = nn.Linear(c.width, len(c.rewards) + 1)
        self.register_buffer("rewards_R", torch.tensor(c.rewards), persistent=False)

    @property
    def context_frames(self) -> int:
        """Frames it reads, the one just reached included."""
        return self.config.context_frames

    def forward(self, tokens_BCN: torch.Tensor) -> OutcomeLogits:
        """int64 tokens [B, context_frames, N], oldest first (the first frame repeats where there are fewer)."""
        x = self.embed(tokens_BCN).permute(0, 2, 1, 3).flatten(2)
        changed = (tokens_BCN[:, 1:] != tokens_BCN[:, :-1]).transpose(1, 2).to(x.dtype)
        x = self.norm(F.silu(self.place(torch.cat([x, changed], dim=-1))).flatten(1))
        # In whole blocks of rows, or a row would be rounded differently in a batch of another size.
        x = F.pad(x, (0, 0, 0, -len(x) % ROW_BLOCK))
        out = self.out(F.silu(self.mix(x)))[: len(tokens_BCN)]
        return OutcomeLogits(out[:, :-1], out[:, -1])

    def predict(self, tokens_BCN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Most likely reward float [B] and whether the episode ended, bool [B]."""
        logits = self(tokens_BCN)
        return self.rewards_R[logits.reward_BR.argmax(-1)], logits.terminated_B > 0


class UnknownOutcome(nn.Module):
    """Stands where neither rewards nor ends are known: no step gives a reward, and none ends the episode."""

    context_frames = 1

    def predict(self, tokens_BCN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """0, float [B], and False, bool [B]."""
        rows = len(tokens_BCN)
        return tokens_BCN.new_zeros(rows, dtype=torch.float32), tokens_BCN.new_zeros(rows, dtype=torch.bool)


@torch.inference_mode()
def outcome_chances(model: OutcomeHead, tokens_TN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probability of each reward class [T-1, R] and of the end [T-1] after each transition of an episode."""
    context = model.config.context_frames
    padded = torch.cat([tokens_TN[:1].expand(context - 2, -1), tokens_TN]) if context > 2 else tokens_TN
    parts = [model(part) for part in padded.unfold(0, context, 1).permute(0, 2, 1).split(2048)]
    rewards_TR = torch.cat([p.reward_BR for p in parts]).softmax(-1)
    return rewards_TR, torch.cat([p.terminated_B for p in parts]).sigmoid()


@torch.inference_mode()
def predict_episode(model: OutcomeHead, tokens_TN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Reward [T-1] and termination [T-1] the head reads from a tokenized episode."""
    chances_TR, ends_T = outcome_chances(model, tokens_TN)
    return model.rewards_R[chances_TR.argmax(1)], ends_T > 0.5
