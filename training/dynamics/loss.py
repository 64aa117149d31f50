"""The loss of the dynamics and what it counts, plain functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from genie_env.models.dynamics import Dynamics, head_outputs
from genie_env.models.ensemble import DynamicsEnsemble
from training.data.dataset import ClipBatch


class TokenLoss(NamedTuple):
    """Loss of a batch of next tokens, and how many of those that change were right."""

    loss: torch.Tensor
    changed_accuracy: torch.Tensor
    num_changed: float
    """Changed tokens, by which both were divided; each is as many as its importance."""
    nats: torch.Tensor
    """Negative log-likelihood of every token by itself, without gradient; 0 of those that do not count."""


def token_loss(
    model: Dynamics | DynamicsEnsemble,
    head_out: torch.Tensor,
    context: torch.Tensor,
    target: torch.Tensor,
    open_: torch.Tensor,
    changed_weight: float,
    importance: torch.Tensor | None = None,
) -> TokenLoss:
    """Negative log-likelihood of the next tokens, which looks hardest where something may change.

    The gate (stay or change) is judged on every token, the vocabulary only on those that change: in a game they are
    one in fifteen, and a vocabulary-wide softmax on the rest is most of a training step and teaches nothing.

    A token's weight is ``1 + (changed_weight - 1) * p(change)`` with the model's own probability. It depends on what
    the model expects, not on what came, so that it does not teach the model to expect more changes than there are;
    weighting by the outcome does, and dreams then grow second balls.

    Args:
        model: whose head it is.
        head_out: float [..., token_dim + 1], from the head.
        context: int64 [...], the present tokens as the model saw them.
        target: int64 [...], the next tokens.
        open_: bool [...], tokens that count: those the head did not see decided.
        changed_weight: how much more a token counts that the model is sure will change.
        importance: float, broadcast over [...]: how much each counts, for clips that were not drawn evenly; None: 1.
    """
    stay = model.stay_logits(head_out)
    changes = target != context
    with torch.no_grad():
        weight = open_ * (1.0 + (changed_weight - 1.0) * (-stay).sigmoid())
        if importance is not None:
            weight = weight * importance
    gate_nll = F.softplus(torch.where(changes, stay, -stay))
    chosen = (changes & open_).flatten().nonzero()[:, 0]
    log_probs_MV = model.change_log_probs(head_out.flatten(0, -2)[chosen], context.flatten()[chosen])
    target_M, stay_M = target.flatten()[chosen], stay.flatten()[chosen]
    change_nll_M = -log_probs_MV.gather(1, target_M[:, None])[:, 0]
    with torch.no_grad():
        best_M, value_M = log_probs_MV.max(-1)
        # What the token most likely becomes must also beat its staying.
        hit_M = (value_M == target_M) & (best_M + F.logsigmoid(-stay_M) > F.logsigmoid(stay_M))
        nats = (gate_nll * open_).float().flatten().index_add(0, chosen, change_nll_M.float()).view_as(open_)
    # Normalising by the number of changed tokens keeps the scale of the loss the same for all games.
    count, hits = max(1, len(chosen)), hit_M.float()
    if importance is not None:
        importance_M = importance.expand(open_.shape).flatten()[chosen]
        count, hits = max(1e-6, float(importance_M.sum())), hits * importance_M
    loss = ((gate_nll * weight).sum() + (change_nll_M * weight.flatten()[chosen]).sum()) / count
    return TokenLoss(loss, hits.sum() / count, count, nats)


Forward = Callable[[Dynamics | DynamicsEnsemble, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def next_frame_loss(
    model: Dynamics | DynamicsEnsemble,
    clip: ClipBatch,
    context_BTN: torch.Tensor,
    decided_BTN: torch.Tensor,
    changed_weight: float,
    forward: Forward = head_outputs,
    importance_B: torch.Tensor | None = None,
) -> TokenLoss:
    """Loss on the undecided tokens of every frame of ``clip`` but the first, read from ``context_BTN``."""
    head_out, is_open = forward(model, context_BTN, clip.actions_BT, decided_BTN), decided_BTN == model.mask_token
    importance = None if importance_B is None else importance_B[:, None, None]
    return token_loss(model, head_out, context_BTN, clip.tokens_BTN[:, 1:], is_open, changed_weight, importance)


def mask_targets(
    target_BTN: torch.Tensor, parallel_share: float, mask_token: int, generator: torch.Generator
) -> torch.Tensor:
    """Tokens of the next frame as the head sees them: wholly masked, or masked at a rate drawn per frame."""
    rows, steps, _ = target_BTN.shape
    parallel = torch.rand(rows, steps, 1, generator=generator) < parallel_share
    rate = torch.rand(rows, steps, 1, generator=generator)
    masked = parallel | (torch.rand(target_BTN.shape, generator=generator) < rate)
    return torch.where(masked.to(target_BTN.device), mask_token, target_BTN)
