"""How tokens and actions are drawn: temperature, nucleus, refinement order, action diversity, random numbers.

Random numbers are a hash of (key of the row, counter, lane): nothing is stored, every row has its own stream, a row
draws the same numbers whatever the batch around it, and a snapshot needs no more than two integers a row.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

# Lanes keep the draws of one step apart: tokens and their order, per decoding pass, and the action's two draws.
LANE_TOKENS, LANE_ORDER, LANE_ACTION = 0, 1 << 20, 1 << 21


def counter_uniform(key_B: torch.Tensor, counter_B: torch.Tensor, lane: int, count: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), float32 [B, count], by two rounds of the SplitMix64 finaliser (Steele et al. 2014).

    Args:
        key_B: int64, one random key per row.
        counter_B: int64, the row's step.
        lane: separates independent uses within a step.
        count: numbers per row.
    """
    lanes = torch.arange(lane, lane + count, device=key_B.device)
    mixed = _mix(key_B + 0x1E3779B97F4A7C15 * counter_B)[:, None]
    bits = _mix(mixed ^ _mix(lanes * 0x3C79AC492BA7B653 + 1))
    return (bits >> 11 & 0xFFFFFF).float() / 0x1000000


def _mix(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift(x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shift(x, 27)) * -0x6B2FB644ECCEEE15
    return x ^ _shift(x, 31)


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical right shift of int64 (PyTorch's own keeps the sign)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


class Draw(NamedTuple):
    """Tokens drawn from a frame's logits."""

    tokens_BN: torch.Tensor
    sure_BN: torch.Tensor
    """Where the nucleus is a single token: nothing was left to chance."""
    entropy_B: torch.Tensor
    """Mean entropy of the tokens in nats, before temperature."""


def draw_tokens(
    logits_BNV: torch.Tensor,
    temperature_B: torch.Tensor,
    top_p: float,
    uniform_BN: torch.Tensor,
    max_unsure: int,
    num_candidates: int = 32,
) -> Draw:
    """Draw every token from the nucleus (Holtzman et al. 2020, arXiv 1904.09751) of softmax(logits / temperature).

    Almost all tokens of a frame are certain: their most likely value alone has more than ``top_p``. Only the
    ``max_unsure`` least certain tokens of each row are really drawn, among their ``num_candidates`` best values; the
    rest take their most likely value. At temperature 0 every token does.
    """
    num_tokens, vocab = logits_BNV.shape[1:]
    logits_BNV = logits_BNV.float()
    best_BN, tokens_BN = logits_BNV.max(-1)
    sureness_BN = best_BN - logits_BNV.logsumexp(-1)
    _, unsure_BM = sureness_BN.topk(min(max_unsure, num_tokens), dim=-1, largest=False)
    picked_BMV = logits_BNV.gather(1, unsure_BM[..., None].expand(-1, -1, vocab))
    entropy_B = _entropy(picked_BMV).sum(-1) / num_tokens

    heat_B11 = temperature_B.clamp_min(1e-3)[:, None, None]
    probs_BMK, values_BMK = (picked_BMV / heat_B11).softmax(-1).topk(min(num_candidates, vocab), dim=-1)
    before_BMK = probs_BMK.cumsum(-1) - probs_BMK
    # A candidate belongs to the nucleus if what comes before it does not fill it yet.
    kept_BMK = torch.where(before_BMK < top_p, probs_BMK, 0.0)
    reached_BMK = kept_BMK.cumsum(-1)
    target_BM1 = uniform_BN.gather(1, unsure_BM)[..., None] * reached_BMK[..., -1:]
    index_BM = (reached_BMK <= target_BM1).sum(-1).clamp_max(probs_BMK.shape[-1] - 1)
    # Rounding may carry the index past the nucleus; its last member is then meant.
    index_BM = index_BM.minimum((kept_BMK > 0).sum(-1) - 1)
    hot_BM = (temperature_B > 0)[:, None].expand_as(unsure_BM)
    drawn_BM = torch.where(hot_BM, values_BMK.gather(-1, index_BM[..., None])[..., 0], tokens_BN.gather(1, unsure_BM))
    single_BM = ~hot_BM | (probs_BMK[..., 0] >= top_p)
    return Draw(
        tokens_BN.scatter(1, unsure_BM, drawn_BM),
        torch.ones_like(tokens_BN, dtype=torch.bool).scatter(1, unsure_BM, single_BM),
        entropy_B,
    )


def _entropy(logits: torch.Tensor) -> torch.Tensor:
    log_probs = logits.log_softmax(-1)
    return -(log_probs.exp() * log_probs).sum(-1)


def decide(sure_BN: torch.Tensor, order_BN: torch.Tensor, share: float) -> torch.Tensor:
    """Which tokens stay after a decoding pass: the sure ones and a growing random share of the others.

    The order is random, not by confidence: confident tokens are those that copy the frame before, and deciding them
    first freezes the picture. At least one unsure token is decided in every pass.
    """
    rank_BN = order_BN.masked_fill(sure_BN, 2.0).argsort(-1).argsort(-1)
    quota_B1 = ((~sure_BN).sum(-1, keepdim=True) * share).floor().clamp_min(1)
    return sure_BN | (rank_BN < quota_B1)


def diversify(
    actions_B: torch.Tensor,
    recent_BK: torch.Tensor,
    num_actions: int,
    probability_B: torch.Tensor,
    uniform_B2: torch.Tensor,
) -> torch.Tensor:
    """Replace actions, with the given probability, by one of the least used of the recent ones.

    Args:
        actions_B: what the agent asked for.
        recent_BK: the last K executed actions of each row, -1 where there were fewer.
        num_actions: size of the action space.
        probability_B: per row.
        uniform_B2: two uniform numbers a row: whether to replace, and by which.
    """
    counts_BA = (recent_BK[..., None] == torch.arange(num_actions, device=actions_B.device)).sum(1)
    least_BA = counts_BA == counts_BA.amin(-1, keepdim=True)
    nth_B1 = (uniform_B2[:, 1:] * least_BA.sum(-1, keepdim=True)).floor()
    chosen_B = ((least_BA.cumsum(-1) - 1 == nth_B1) & least_BA).int().argmax(-1)
    return torch.where(uniform_B2[:, 0] < probability_B, chosen_B, actions_B)
