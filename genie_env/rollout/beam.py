"""Beam search over frames: of many dreams of a row, those that the dynamics finds most likely.

Beams are ranked by the sum of the log-probabilities of their frames (:mod:`genie_env.rollout.best_frames`). The memory
of those that go on is copied by row, never computed again. No two beams are alike: all come from one, and no beam goes
on twice with the same frame. Nothing is drawn, so random numbers play no part.
"""

from __future__ import annotations

import math

import torch

from genie_env.config import SamplingConfig
from genie_env.models.outcome import OutcomeHead, UnknownOutcome
from genie_env.models.protocols import TokenWorldModel
from genie_env.rollout.best_frames import Frames, best_frames
from genie_env.rollout.state import Rollout, RolloutState

MOST_BEAMS = 1024
"""Beams of a row; ranking them takes memory that grows with their square."""


def check_beam(beam: int, dynamics: TokenWorldModel, sampling: SamplingConfig, num_tokens: int, steps: int) -> None:
    """Check that so many different dreams of ``steps`` frames can be kept.

    Raises:
        ValueError: if not.
    """
    choices = dynamics.config.vocab_size
    changeable = min(sampling.max_changed, num_tokens) * steps
    possible = choices ** min(changeable, math.ceil(math.log2(MOST_BEAMS)))
    most, why = min((MOST_BEAMS, ""), (possible, f" (there are {possible} different dreams of this length)"))
    if isinstance(beam, bool) or not isinstance(beam, int) or not 1 <= beam <= most:
        raise ValueError(f"beam: expected an integer from 1 to {most}{why}, got {beam!r}")


@torch.inference_mode()
def search(
    dynamics: TokenWorldModel,
    outcome: OutcomeHead | UnknownOutcome | None,
    sampling: SamplingConfig,
    state: RolloutState,
    actions_BT: torch.Tensor,
    beam: int,
) -> tuple[Rollout, RolloutState]:
    """The most likely dream of each row under given actions, among the ``beam`` that are kept after every frame.

    Args:
        dynamics: whose probabilities count.
        outcome: reads rewards and ends, if there is one.
        sampling: ``decode_steps`` and ``max_changed``; temperature and nucleus play no part.
        state: where the dreams begin; used up.
        actions_BT: int64 latent actions.
        beam: dreams kept of each row (see :func:`check_beam`).

    Returns:
        The best dream of each row with its joint log-probability, and the state at its end.

    Raises:
        ValueError: if so many dreams cannot be kept; ``state`` is as it was then.
        TypeError: if the dynamics' memory cannot copy rows.
    """
    rows, steps = actions_BT.shape
    check_beam(beam, dynamics, sampling, state.tokens_BN.shape[1], steps)
    row_B1 = torch.arange(rows, device=actions_BT.device)[:, None]
    score_BK = torch.zeros(rows, 1, device=actions_BT.device)
    before_BCN, kept = state.recent_BCN, []
    for t in range(steps):
        width = score_BK.shape[1]
        features_RGD = dynamics.step(state.cache, state.tokens_BN, actions_BT[:, t].repeat_interleave(width))
        features_BHGD, current_BHN = (x.unflatten(0, (rows, width)) for x in (features_RGD, state.tokens_BN))
        frames = best_frames(dynamics, sampling, features_BHGD, current_BHN, score_BK, beam)
        score_BK = frames.score_BK
        state = state.take((row_B1 * width + frames.parent_BK).flatten())
        state.recent_BCN = torch.cat([state.recent_BCN[:, 1:], frames.tokens_BKN.flatten(0, 1)[:, None]], dim=1)
        state.step_B = state.step_B + 1
        kept.append(frames)
    tokens_BTN, entropy_BT = _follow(kept)
    rewards_BT, ends_BT = _outcomes(outcome, before_BCN, tokens_BTN)
    rollout = Rollout(tokens_BTN, rewards_BT, ends_BT, entropy_BT, score_BK[:, 0])
    return rollout, state.take((row_B1 * score_BK.shape[1])[:, 0])


def _follow(kept: list[Frames]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [B, T, N] and entropy [B, T] of each row's best dream, which is the first one after the last frame."""
    tokens, entropies = [], []
    row_B = torch.arange(len(kept[-1].parent_BK), device=kept[-1].parent_BK.device)
    slot_B = torch.zeros_like(row_B)
    for frames in reversed(kept):
        tokens.append(frames.tokens_BKN[row_B, slot_B])
        entropies.append(frames.entropy_BK[row_B, slot_B])
        slot_B = frames.parent_BK[row_B, slot_B]
    return torch.stack(tokens[::-1], dim=1), torch.stack(entropies[::-1], dim=1)


def _outcomes(
    outcome: OutcomeHead | UnknownOutcome | None, before_BCN: torch.Tensor, tokens_BTN: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Rewards and ends [B, T] of the chosen dreams. They rank nothing, so those given up need none."""
    if outcome is None:
        return None, None
    history_BTN = torch.cat([before_BCN, tokens_BTN], dim=1)
    windows = history_BTN.unfold(1, before_BCN.shape[1], 1).transpose(2, 3)[:, 1:]
    rewards, ends = zip(*(outcome.predict(windows[:, t]) for t in range(tokens_BTN.shape[1])), strict=True)
    return torch.stack(rewards, dim=1), torch.stack(ends, dim=1)
