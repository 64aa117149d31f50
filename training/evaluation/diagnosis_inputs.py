"""A world on trial: the held-out play it is tested on, what it predicts for it, and how right that is.

Owns what several tests share, each prediction made once. Knows no theories and no verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from genie_env.config import SamplingConfig
from genie_env.models.dynamics import parallel_log_probs
from genie_env.statistics import Interval, difference
from genie_env.world import World
from training.evaluation.array_metrics import pixel_errors
from training.evaluation.held_out import Clips, roll
from training.evaluation.measures import PEAK_2

PASS_FRAMES = 8
"""Frames of each clip that are predicted in a parallel pass, each with a whole window of real ones before it."""
_ROWS = 4  # clips in a parallel pass: its probabilities are the most memory that is needed


@dataclass(frozen=True)
class Subject:
    """A world and the held-out play it is tested on."""

    world: World
    sampling: SamplingConfig
    clips: Clips
    """One for each test: a window of real frames, then those to be predicted."""
    others: Clips
    """As many others, to tell how far real play is from real play."""
    long: Clips | None
    """Clips with several windows of real frames before ``PASS_FRAMES`` to predict; None where no episode has them."""
    seen_NV: np.ndarray
    """bool: which token was ever seen at which place in training play."""
    seed: int = 0
    test_masking: bool = True
    checkpoint: Path | None = None
    """Folder of a dynamics stage with raw and averaged weights."""

    @cached_property
    def dreamed_CHN(self) -> torch.Tensor:
        """Frames dreamed from the clips' contexts with the inferred actions."""
        return roll(self.world, self.clips, self.sampling)

    @cached_property
    def forced_CHN(self) -> torch.Tensor:
        """The same frames, each predicted from real ones."""
        return roll(self.world, self.clips, self.sampling, forced=True)

    @cached_property
    def passed(self) -> Pass:
        """What one parallel pass says."""
        with torch.inference_mode():
            return one_pass(self.world.dynamics, self.clips)

    @property
    def real_CHN(self) -> torch.Tensor:
        """What really came."""
        return self.clips.tokens_CTN[:, self.clips.context :]

    def square_errors(self, predicted_CKN: torch.Tensor) -> np.ndarray:
        """Mean squared error in [-1, 1] of each clip's first K predicted frames, [C]."""
        steps = predicted_CKN.shape[1]
        drawn = self.world.decode(predicted_CKN).cpu().numpy()
        real = self.clips.frames_CTHWC[:, self.clips.context : self.clips.context + steps]
        return PEAK_2 * pixel_errors(real, drawn, self.clips.background_HWC)[0].mean(1)

    def foreground(self, tokens: torch.Tensor) -> torch.Tensor:
        """Whether tokens [..., N] are other ones than the median background's, bool."""
        return tokens != self.world.encode(self.clips.background_HWC[None, None])[0, 0].cpu()

    def token_counts(self, tokens_CTN: torch.Tensor) -> np.ndarray:
        """How often each clip shows each token, a frame: float [C, V+1]; the last column is all of the background."""
        clips, vocab = len(tokens_CTN), self.world.config.dynamics.vocab_size
        merged = torch.where(self.foreground(tokens_CTN), tokens_CTN, vocab)
        index = (merged + (vocab + 1) * torch.arange(clips)[:, None, None]).flatten().numpy()
        return np.bincount(index, minlength=clips * (vocab + 1)).reshape(clips, -1) / tokens_CTN.shape[1]


class Share(NamedTuple):
    """Some tokens of each clip out of others [C]: those that are right of those that had to change, say."""

    part_C: np.ndarray
    whole_C: np.ndarray

    @property
    def share_C(self) -> np.ndarray:
        """For each clip; NaN where there was nothing."""
        return self.part_C / np.where(self.whole_C > 0, self.whole_C, np.nan)

    def above(self, other: Share) -> Interval:
        """How much higher this share is than another of the same clips."""
        return difference(*self, *other)


def accuracy(clips: Clips, predicted_CKN: torch.Tensor, skip: int = 0, kept_CK: np.ndarray | None = None) -> Share:
    """Changed-token accuracy of predictions of the K frames after the context.

    Args:
        clips: what really came.
        predicted_CKN: tokens.
        skip: frames left out at the beginning.
        kept_CK: which frames count; all of them by default.
    """
    stop = clips.context + predicted_CKN.shape[1]
    target, before = clips.tokens_CTN[:, clips.context : stop], clips.tokens_CTN[:, clips.context - 1 : stop - 1]
    changed = (target != before).numpy()
    if kept_CK is not None:
        changed = changed & kept_CK[..., None]
    hits = changed & (predicted_CKN == target).numpy()
    return Share(hits[:, skip:].sum((1, 2)), changed[:, skip:].sum((1, 2)))


class Pass(NamedTuple):
    """What one parallel pass says about ``PASS_FRAMES`` frames of each clip."""

    tokens_CKN: torch.Tensor
    """The most likely ones."""
    best_CKN: torch.Tensor
    """Their probabilities."""
    nats_C: np.ndarray
    """Cross-entropy of what really came, a frame."""


def one_pass(model: Any, clips: Clips) -> Pass:
    """Predict frames from real ones in parallel, as in training; gradients are the caller's choice."""
    first, stop = clips.context - 1, clips.context + min(PASS_FRAMES, clips.scored_CH.shape[1]) - 1
    parts = []
    for rows in torch.arange(len(clips.tokens_CTN)).split(_ROWS):
        # A copy: what inference mode made may not take part in a graph.
        tokens = clips.tokens_CTN[rows].clone().to(model.device)
        said = parallel_log_probs(model, tokens[:, :stop], clips.actions_CT[rows, :stop].to(tokens.device))
        log_probs = said[:, first:].float().log_softmax(-1).detach()
        best, chosen = log_probs.max(-1)
        real = log_probs.gather(-1, tokens[:, first + 1 : stop + 1, :, None])[..., 0]
        parts.append((chosen.cpu(), best.exp().cpu(), -real.sum(-1).mean(-1).cpu()))
    chosen, best, nats = (torch.cat(column) for column in zip(*parts, strict=True))
    return Pass(chosen, best, nats.numpy())
