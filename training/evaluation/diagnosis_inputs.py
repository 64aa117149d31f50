"""What the tests of all theories share: held-out play, what the world predicts for it, and how right that is.

Each prediction is made once. Knows no theories and no verdicts.
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
from training.evaluation.dreams import PEAK_2, hits
from training.evaluation.held_out import Clips, HeldOutPlay, predict

PASS_FRAMES = 8
"""Frames of each clip that are predicted in a parallel pass, each with a whole window of real ones before it."""
_ROWS = 4  # clips in a parallel pass: its probabilities are the most memory that is needed


@dataclass(frozen=True)
class DiagnosisInputs:
    """A world and the held-out play that it is tested on."""

    play: HeldOutPlay
    sampling: SamplingConfig
    clips: Clips
    """One for each test: a window of real frames, then those to be predicted."""
    others: Clips
    """As many others, to show how far real play is from real play."""
    long: Clips | None
    """Clips with several windows of real frames before ``PASS_FRAMES`` to predict; None where no episode has them."""
    seen_NV: np.ndarray
    """bool: which token was ever seen at which place in training play."""
    seed: int = 0
    test_masking: bool = True
    checkpoint: Path | None = None
    """Folder of a dynamics stage with raw and averaged weights."""

    @property
    def world(self) -> World:
        """The world on trial."""
        return self.play.world

    @cached_property
    def dreamed_CHN(self) -> torch.Tensor:
        """Frames dreamed from the clips' contexts with the inferred actions."""
        return predict(self.world, self.clips, self.sampling)

    @cached_property
    def forced_CHN(self) -> torch.Tensor:
        """The same frames, each predicted from real ones."""
        return predict(self.world, self.clips, self.sampling, forced=True)

    @cached_property
    def passed(self) -> ParallelPass:
        """What one parallel pass predicts."""
        return parallel_pass(self.world.dynamics, self.clips)

    def square_errors(self, predicted_CKN: torch.Tensor) -> np.ndarray:
        """Mean squared error in [-1, 1] of each clip's first K predicted frames, [C]."""
        steps = predicted_CKN.shape[1]
        drawn = self.world.decode(predicted_CKN).cpu().numpy()
        real = self.clips.frames_CTHWC[:, self.clips.context : self.clips.context + steps]
        return PEAK_2 * pixel_errors(real, drawn, self.play.background_HWC)[0].mean(1)

    def is_foreground(self, tokens: torch.Tensor) -> torch.Tensor:
        """Whether tokens [..., N] are other ones than the median background's, bool."""
        return tokens != self.world.encode(self.play.background_HWC[None, None])[0, 0].cpu()

    def token_counts(self, tokens_CTN: torch.Tensor) -> np.ndarray:
        """How often each clip shows each token, a frame: float [C, V+1]; the last column is all of the background."""
        clips, vocab = len(tokens_CTN), self.world.config.dynamics.vocab_size
        merged = torch.where(self.is_foreground(tokens_CTN), tokens_CTN, vocab)
        index = (merged + (vocab + 1) * torch.arange(clips)[:, None, None]).flatten().numpy()
        return np.bincount(index, minlength=clips * (vocab + 1)).reshape(clips, -1) / tokens_CTN.shape[1]


class Share(NamedTuple):
    """Some tokens of each clip out of others [C], such as the right ones out of those that had to change."""

    part_C: np.ndarray
    whole_C: np.ndarray

    @property
    def share_C(self) -> np.ndarray:
        """The share of each clip; NaN where there was nothing."""
        return self.part_C / np.where(self.whole_C > 0, self.whole_C, np.nan)

    def above(self, other: Share) -> Interval:
        """How much higher this share is than another of the same clips."""
        return difference(*self, *other)


def accuracy(clips: Clips, predicted_CKN: torch.Tensor, skip: int = 0, counted_CK: np.ndarray | None = None) -> Share:
    """Changed-token accuracy of predictions of the K frames after the context.

    Args:
        clips: what really came.
        predicted_CKN: tokens.
        skip: frames left out at the beginning.
        counted_CK: which frames count; all of them by default.
    """
    hits_CK, changed_CK = (sums if counted_CK is None else sums * counted_CK for sums in hits(clips, predicted_CKN))
    return Share(hits_CK[:, skip:].sum(1), changed_CK[:, skip:].sum(1))


class ParallelPass(NamedTuple):
    """What one parallel pass predicts for ``PASS_FRAMES`` frames of each clip."""

    tokens_CKN: torch.Tensor
    """The most likely ones."""
    best_CKN: torch.Tensor
    """Their probabilities."""
    nats_C: np.ndarray
    """Cross-entropy of what really came, a frame."""
    accuracy: Share


def parallel_pass(model: Any, clips: Clips, gradients: bool = False) -> ParallelPass:
    """Predict frames from real ones in parallel, as in training; ``gradients``: in a graph, as in training too."""
    first, stop = clips.context - 1, clips.context + min(PASS_FRAMES, clips.scored_CH.shape[1]) - 1
    parts = []
    with torch.inference_mode(not gradients):
        for rows in torch.arange(len(clips.tokens_CTN)).split(_ROWS):
            # A copy: what inference mode made may not take part in a graph.
            tokens = clips.tokens_CTN[rows].clone().to(model.device)
            log_probs = parallel_log_probs(model, tokens[:, :stop], clips.actions_CT[rows, :stop].to(tokens.device))
            log_probs = log_probs[:, first:].float().log_softmax(-1).detach()
            best, chosen = log_probs.max(-1)
            real = log_probs.gather(-1, tokens[:, first + 1 : stop + 1, :, None])[..., 0]
            parts.append((chosen.cpu(), best.exp().cpu(), -real.sum(-1).mean(-1).cpu()))
    chosen, best, nats = (torch.cat(column) for column in zip(*parts, strict=True))
    return ParallelPass(chosen, best, nats.numpy(), accuracy(clips, chosen))
