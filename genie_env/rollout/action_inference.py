"""Which actions a clip shows, asked of the dynamics itself: those under which it finds the next frames most likely.

A world whose dynamics learned from recorded actions needs no latent action model: the dynamics already knows what each
action does. Knows tokens and actions; knows nothing of pixels or of where a clip comes from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from genie_env.models.protocols import TokenWorldModel


@torch.inference_mode()
def most_likely_actions(dynamics: TokenWorldModel, tokens_BTN: torch.Tensor) -> torch.Tensor:
    """Actions int64 [B, T-1]; the one at t moved frame t to frame t+1.

    They are chosen one after another: argmax over a of p(frame t+1 | frames up to t, actions chosen before, a), with
    all tokens of the frame in one pass. Each sees no more of the past than the dynamics' window.

    Args:
        dynamics: the network that judges.
        tokens_BTN: int64 tokens of the clips.
    """
    rows, steps, num_tokens = tokens_BTN.shape
    num_actions, window = dynamics.config.num_actions, dynamics.config.window
    every_M = torch.arange(rows * num_actions, device=tokens_BTN.device)
    candidates_M = every_M % num_actions
    undecided_MN = torch.full((len(every_M), num_tokens), dynamics.mask_token, device=tokens_BTN.device)
    chosen_BT = tokens_BTN.new_zeros(rows, 0)
    for t in range(steps - 1):
        first = max(0, t - window)
        past_MTN = tokens_BTN[:, first:t].repeat_interleave(num_actions, 0)
        present_MN, next_MN = (tokens_BTN[:, at].repeat_interleave(num_actions, 0) for at in (t, t + 1))
        cache = dynamics.empty_cache(len(every_M))
        dynamics.prefill(cache, every_M, past_MTN, chosen_BT[:, first:].repeat_interleave(num_actions, 0))
        features = dynamics.step(cache, present_MN, candidates_M)
        head_out_MND = dynamics.decode(features, undecided_MN)
        score_BA = frame_log_prob(dynamics, head_out_MND, present_MN, next_MN).view(rows, num_actions)
        chosen_BT = torch.cat([chosen_BT, score_BA.argmax(1, keepdim=True)], dim=1)
    return chosen_BT


def frame_log_prob(
    dynamics: TokenWorldModel, head_out_MND: torch.Tensor, present_MN: torch.Tensor, next_MN: torch.Tensor
) -> torch.Tensor:
    """Log-probability [M] of the next frames in one pass; the vocabulary is looked up only where a token changes."""
    changes_MN = next_MN != present_MN
    log_probs_MN = F.logsigmoid(dynamics.stay_logits(head_out_MND))
    log_probs_XV = dynamics.log_probs(head_out_MND[changes_MN], present_MN[changes_MN])
    log_probs_MN[changes_MN] = log_probs_XV.gather(-1, next_MN[changes_MN][:, None])[:, 0]
    return log_probs_MN.sum(-1)
