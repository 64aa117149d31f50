"""How tokens and actions are drawn: temperature, nucleus, refinement order, action diversity, random numbers.

Random numbers are a hash of (key of the row, counter, lane): nothing is stored, every row has its own stream, a row
draws the same numbers whatever the batch around it, and a snapshot needs no more than two integers a row.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

# Lanes keep the draws of one step apart: tokens and their order, per decoding pass, and the action's two draws.
LANE_TOKENS, LANE_ORDER, LANE_ACTION = 0, 1 << 20, 1 << 21
NUM_CANDIDATES = 32
"""Most likely values of a token that take part in drawing it."""


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
    """Tokens drawn."""

    tokens_BM: torch.Tensor
    certain_BM: torch.Tensor
    """Where the nucleus is a single token: nothing was left to chance."""
    entropy_BM: torch.Tensor
    """In nats, before temperature."""


def draw_tokens(
    log_probs_BMV: torch.Tensor,
    temperature_B: torch.Tensor,
    top_p: float,
    uniform_BM: torch.Tensor,
    num_candidates: int = NUM_CANDIDATES,
) -> Draw:
    """Draw tokens from the nucleus (Holtzman et al. 2020, arXiv 1904.09751) of softmax(log_probs / temperature).

    Only the ``num_candidates`` best values take part: sorting a whole vocabulary costs more than drawing from it. At
    temperature 0 every token takes its most likely value.
    """
    entropy_BM = -(log_probs_BMV.exp() * log_probs_BMV).sum(-1)
    best_BMK, values_BMK = log_probs_BMV.topk(min(num_candidates, log_probs_BMV.shape[-1]), dim=-1)
    probs_BMK = (best_BMK / temperature_B.clamp_min(1e-3)[:, None, None]).softmax(-1)
    reached_BMK = probs_BMK.cumsum(-1)
    # A candidate belongs to the nucleus if what comes before it does not fill it yet.
    last_BM = (reached_BMK - probs_BMK < top_p).sum(-1) - 1
    target_BM = uniform_BM * reached_BMK.gather(-1, last_BM[..., None])[..., 0]
    # Rounding may carry the index past the nucleus; its last member is then meant.
    index_BM = (reached_BMK <= target_BM[..., None]).sum(-1).minimum(last_BM)
    cold_B1 = (temperature_B <= 0)[:, None]
    drawn_BM = values_BMK.gather(-1, index_BM.masked_fill(cold_B1, 0)[..., None])[..., 0]
    return Draw(drawn_BM, cold_B1 | (last_BM == 0), entropy_BM)


def decide(certain_BN: torch.Tensor, order_BN: torch.Tensor, share: float) -> torch.Tensor:
    """Which tokens stay after a decoding pass: the certain ones and a growing random share of the others.

    The order is random, not by confidence: confident tokens are those that copy the frame before, and deciding them
    first freezes the picture. At least one uncertain token is decided in every pass.
    """
    rank_BN = order_BN.masked_fill(certain_BN, 2.0).argsort(-1).argsort(-1)
    quota_B1 = ((~certain_BN).sum(-1, keepdim=True) * share).floor().clamp_min(1)
    return certain_BN | (rank_BN < quota_B1)


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
