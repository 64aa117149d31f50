"""The most likely next frames, and how likely each of them is.

With one decoding pass the tokens of a frame are independent, and the best joint choices are found exactly. With more,
each pass but the last decides the most uncertain token of every candidate, and the last one all others given those,
so that a ball is neither split nor doubled: p(frame) = p(token 1) p(token 2 | token 1) … p(all others | those), which
holds of every frame, however many are asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from genie_env.config import SamplingConfig
from genie_env.models.protocols import TokenWorldModel
from genie_env.rollout.sampling import NUM_CANDIDATES


class Frames(NamedTuple):
    """The most likely dreams of each row, longer by a frame; the best one first."""

    parent_BK: torch.Tensor
    """int64, which of the row's dreams goes on."""
    tokens_BKN: torch.Tensor
    """int64, with which frame."""
    score_BK: torch.Tensor
    """float32, joint log-probability in nats; minus infinity where there are fewer dreams than were asked for."""
    entropy_BK: torch.Tensor
    """float32, mean over the frame's tokens in the first pass, in nats."""


def best_frames(
    dynamics: TokenWorldModel,
    sampling: SamplingConfig,
    features_BHGD: torch.Tensor,
    current_BHN: torch.Tensor,
    score_BH: torch.Tensor,
    count: int,
) -> Frames:
    """The ``count`` most likely ways in which the dreams of each row go on by a frame; fewer where there are no more.

    Only the ``max_changed`` tokens that are least likely to stay may change, as where frames are drawn. With one pass
    these are the best frames there are. With more, a frame that is unlikely by its first tokens is given up early, so
    that it may be missed; the probabilities of those that are found are right.

    Args:
        dynamics: whose head is asked.
        sampling: ``decode_steps`` and ``max_changed``.
        features_BHGD: of the trunk, for the present frame of each of a row's H dreams.
        current_BHN: int64 tokens of these frames.
        score_BH: float32 joint log-probability of the dreams so far.
        count: ways asked for.
    """
    rows, num_dreams, num_tokens = current_BHN.shape
    # A single frame is weighed against no other. As at temperature 0, the first pass then decides all its tokens.
    passes = 1 if count == 1 else min(sampling.decode_steps, sampling.max_changed, num_tokens)
    row_B1 = torch.arange(rows, device=current_BHN.device)[:, None]
    parent_BK = torch.arange(num_dreams, device=current_BHN.device).expand(rows, -1)
    decided_BKN = torch.full_like(current_BHN, dynamics.mask_token)
    entropy_BH = torch.zeros_like(score_BH)
    score_BK = score_BH
    for index in range(passes):
        features_XGD, current_XN = (x[row_B1, parent_BK].flatten(0, 1) for x in (features_BHGD, current_BHN))
        decided_XN = decided_BKN.flatten(0, 1)
        chances = _chances(dynamics, sampling, features_XGD, current_XN, decided_XN, count)
        if index == 0:
            entropy_BH = chances.entropy_XM.sum(-1).view(rows, -1) / num_tokens
        extend = _complete if index + 1 == passes else _decide_one
        log_prob_XC, frames_XCN = extend(chances, current_XN, decided_XN, count)
        total_BC = (score_BK.flatten()[:, None] + log_prob_XC).view(rows, -1)
        parent_BC = parent_BK.repeat_interleave(log_prob_XC.shape[1], dim=1)
        score_BK, best_BK = total_BC.topk(min(count, total_BC.shape[1]), dim=-1)
        parent_BK = parent_BC.gather(1, best_BK)
        decided_BKN = frames_XCN.view(rows, -1, num_tokens)[row_B1, best_BK]
    return Frames(parent_BK, decided_BKN, score_BK, entropy_BH.gather(1, parent_BK))


class _Chances(NamedTuple):
    """What a pass of the head says of the tokens that may change, [X, M], and of the others."""

    where_XM: torch.Tensor
    values_XMC: torch.Tensor
    log_prob_XMC: torch.Tensor
    """Of the most likely values, falling; 0 and then minus infinity for a token that is decided already."""
    entropy_XM: torch.Tensor
    others_stay_X: torch.Tensor
    """Log-probability that every other undecided token stays what it is."""
    open_XN: torch.Tensor
    """bool: not decided yet."""


def _chances(
    dynamics: TokenWorldModel,
    sampling: SamplingConfig,
    features_XGD: torch.Tensor,
    current_XN: torch.Tensor,
    decided_XN: torch.Tensor,
    count: int,
) -> _Chances:
    head_out_XNE = dynamics.decode(features_XGD, decided_XN)
    open_XN = decided_XN == dynamics.mask_token
    stay_XN = dynamics.stay_logits(head_out_XNE).masked_fill(~open_XN, torch.inf)
    num_drawn = min(sampling.max_changed, current_XN.shape[1])
    _, where_XM = stay_XN.topk(num_drawn, dim=-1, largest=False, sorted=False)
    head_out_XME = head_out_XNE.gather(1, where_XM[..., None].expand(-1, -1, head_out_XNE.shape[-1]))
    log_probs_XMV = dynamics.log_probs(head_out_XME, current_XN.gather(1, where_XM))
    # Among as many values as where frames are drawn, or equal ones might come in another order.
    most = min(max(count, NUM_CANDIDATES), log_probs_XMV.shape[-1])
    log_prob_XMC, values_XMC = (x[..., :count] for x in log_probs_XMV.topk(most, dim=-1))
    closed_XM = ~open_XN.gather(1, where_XM)
    only_C = torch.full_like(log_prob_XMC[0, 0], -torch.inf).index_fill(0, closed_XM.new_zeros(1, dtype=torch.long), 0)
    others_XN = F.logsigmoid(stay_XN).scatter(1, where_XM, 0.0)
    entropy_XM = -(log_probs_XMV.exp() * log_probs_XMV).sum(-1)
    return _Chances(
        where_XM,
        values_XMC,
        torch.where(closed_XM[..., None], only_C, log_prob_XMC),
        entropy_XM.masked_fill(closed_XM, -1.0),
        others_XN.sum(-1),
        open_XN,
    )


def _decide_one(
    chances: _Chances, current_XN: torch.Tensor, decided_XN: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decide the most uncertain token, in ``count`` ways: log-probabilities [X, C], tokens then decided [X, C, N]."""
    which_X1 = chances.entropy_XM.argmax(-1, keepdim=True)
    where_X1 = chances.where_XM.gather(1, which_X1)
    rows = torch.arange(len(where_X1), device=where_X1.device)
    log_prob_XC, values_XC = (x[rows, which_X1[:, 0]] for x in (chances.log_prob_XMC, chances.values_XMC))
    every_XCN = decided_XN[:, None].repeat(1, values_XC.shape[1], 1)
    where_XC1 = where_X1[:, None].expand(-1, values_XC.shape[1], -1)
    return log_prob_XC, every_XCN.scatter(2, where_XC1, values_XC[..., None])


def _complete(
    chances: _Chances, current_XN: torch.Tensor, decided_XN: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decide all tokens that are left, in the ``count`` most likely ways; as :func:`_decide_one`."""
    log_prob_XK, choice_XKM = best_sums(chances.log_prob_XMC, count)
    values_XKM = chances.values_XMC.transpose(1, 2).gather(1, choice_XKM)
    where_XKM = chances.where_XM[:, None].expand_as(values_XKM)
    frames_XKN = current_XN[:, None].repeat(1, values_XKM.shape[1], 1).scatter(2, where_XKM, values_XKM)
    frames_XKN = torch.where(chances.open_XN[:, None], frames_XKN, decided_XN[:, None])
    return chances.others_stay_X[:, None] + log_prob_XK, frames_XKN


def best_sums(scores_XMC: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``count`` largest sums of one score from each of M lists: sums [X, K], and what was chosen, int64 [X, K, M].

    Lists are merged in pairs: no sum of two is among the K largest if K others of the two are at least as large. So
    of the i-th and j-th largest, counted from 1, only those with i j <= K are looked at.

    Args:
        scores_XMC: falling in each list; minus infinity stands for no choice.
        count: sums asked for; fewer, K, come where there are no more.
    """
    num_lists = scores_XMC.shape[1]
    # To a power of two, by lists with nothing to choose.
    missing = (1 << (num_lists - 1).bit_length()) - num_lists
    nothing = torch.full_like(scores_XMC[:, :1], -torch.inf)
    nothing[..., 0] = 0.0
    sums_XLC = torch.cat([scores_XMC, nothing.expand(-1, missing, -1)], dim=1)[..., :count]
    choice_XLCS = torch.arange(sums_XLC.shape[2], device=sums_XLC.device).expand_as(sums_XLC)[..., None]
    while sums_XLC.shape[1] > 1:
        length = sums_XLC.shape[2]
        pairs = [(i, j) for i in range(length) for j in range(min(length, count // (i + 1)))]
        left_P, right_P = torch.tensor(pairs, device=sums_XLC.device).T
        both_XLP = sums_XLC[:, 0::2, left_P] + sums_XLC[:, 1::2, right_P]
        sums_XLC, best_XLC = both_XLP.topk(min(count, len(pairs)), dim=-1)
        halves = [
            choice_XLCS[:, side::2].gather(2, index_P[best_XLC][..., None].expand(-1, -1, -1, choice_XLCS.shape[-1]))
            for side, index_P in enumerate((left_P, right_P))
        ]
        choice_XLCS = torch.cat(halves, dim=-1)
    return sums_XLC[:, 0], choice_XLCS[:, 0, :, :num_lists]
