"""Which code to give each transition when no label says.

The one that draws its next frame best: but that alone lets a code mean "up" here and "down" there, since either way
all frames are drawn. So the encoder has a say as well. It cannot see where in the picture something moved (its
features are pooled), and must name codes by what is the same everywhere.

Among networks of which one answers for each sample, the one that was lucky first tends to take all (multiple choice
learning, Guzman-Rivera et al. 2012). Spreading each batch evenly over the codes (Sinkhorn 1964; Caron et al. 2020,
arXiv 2006.09882) keeps all of them alive.
"""

from __future__ import annotations

import math

import torch

SHARPNESS = 10.0
"""The mean gap between best and worst code counts for so many nats. Undecided shares would teach every code the mean,
and codes that draw the same never part."""


def assign(
    errors_BA: torch.Tensor,
    logits_BA: torch.Tensor,
    trust: float = 1.0,
    even: bool = True,
    iterations: int = 20,
) -> torch.Tensor:
    """Share [B, A] that each code has in each transition; rows sum to 1.

    Args:
        errors_BA: of the next frame drawn under each code.
        logits_BA: what the encoder makes of the transitions.
        trust: for how many nats each nat of the encoder's counts. Trusted before it has learned anything, or more than
            the decoder, it decides on whatever moved; not trusted at all it cannot stop a code from changing meaning.
        even: let all codes have as many transitions of the batch.
        iterations: of making rows and columns even in turn.
    """
    behind_BA = errors_BA - errors_BA.amin(1, keepdim=True)
    gap = behind_BA.amax(1).mean().clamp_min(1e-9)
    scores_BA = trust * logits_BA.log_softmax(1) - SHARPNESS * behind_BA / gap
    for _ in range(iterations if even else 0):
        scores_BA = scores_BA - scores_BA.logsumexp(0, keepdim=True) + math.log(len(scores_BA) / scores_BA.shape[1])
        scores_BA = scores_BA - scores_BA.logsumexp(1, keepdim=True)
    return scores_BA.softmax(1)
