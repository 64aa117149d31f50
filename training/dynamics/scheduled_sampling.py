"""Scheduled sampling: the model learns from contexts that it dreamed itself (Bengio et al. 2015, arXiv 1506.03099).

A model that only ever saw real frames does not know its own mistakes, and in a dream they add up. Two ways to show
them to it, both without gradients through what was drawn:

* ``self_rollout``: the last K frames of the context are rolled out with the engine's cache, and one parallel pass
  over [real, dreamed] frames learns the real ones (Self Forcing, arXiv 2506.08009). Errors accumulate as in use.
* ``two_pass``: every frame is predicted once from real ones, and predictions replace single frames of the context
  (Mihaylova and Martins 2019, arXiv 1906.07651). Cheaper, but errors never build on errors.

The coin is tossed per row. Once a dream has left the recording (a serve in another direction) its targets would be
wrong, not hard. Either such a row is dropped, or it counts up to the frame in which it left: of long dreams, which
nearly all leave in the end, only the second leaves anything to learn from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from genie_env.config import SamplingConfig
from genie_env.files.json_config import JsonConfig
from genie_env.models.dynamics import Dynamics
from genie_env.models.ensemble import DynamicsEnsemble
from genie_env.rollout.engine import RolloutEngine, draw_frame


@dataclass(frozen=True)
class ScheduledSamplingConfig(JsonConfig):
    """When and how contexts are dreamed."""

    method: Literal["none", "self_rollout", "two_pass"] = "self_rollout"
    """``none`` is teacher forcing only."""
    schedule: Literal["linear", "delayed_linear", "inverse_sigmoid", "constant"] = "linear"
    """How the share of real rows falls from 1 to ``end_ratio``."""
    begin: float = 0.45
    """Share of the training that is teacher forcing only."""
    end_ratio: float = 0.5
    """Teacher-forcing ratio at the end."""
    max_frames: int = 8
    """Longest dream, in frames (K)."""
    curriculum: bool = True
    """Let the longest dream grow from 1 frame to ``max_frames`` as the ratio falls; else it is there at once."""
    tolerance: int = 3
    """A dream has left the recording where more tokens of a frame than this are wrong."""
    validity: Literal["row", "frame"] = "row"
    """What is dropped: ``row``: all that a row dreamed, if it has left by the last frame; ``frame``: what a row has to
    learn from the frame on in which it left."""
    sampling: SamplingConfig = SamplingConfig(max_changed=16)
    """How dreams are drawn."""

    def __post_init__(self) -> None:
        for name, value, low, high in (("begin", self.begin, 0, 1), ("end_ratio", self.end_ratio, 0, 1)):
            if not low <= value <= high:
                raise ValueError(f"{name}: expected a number in [{low}, {high}], got {value!r}")
        if self.max_frames < 1:
            raise ValueError(f"max_frames: expected an integer >= 1, got {self.max_frames!r}")
        if self.tolerance < 0:
            raise ValueError(f"tolerance: expected an integer >= 0, got {self.tolerance!r}")

    def teacher_forcing_ratio(self, progress: float) -> float:
        """Share of rows with real context, at ``progress`` 0 .. 1 of the training."""
        if self.method == "none" or progress < self.begin:
            return 1.0
        return 1.0 - (1.0 - self.end_ratio) * self._fallen(progress)

    def longest(self, progress: float) -> int:
        """Longest dream in frames, at ``progress`` 0 .. 1 of the training."""
        if not self.curriculum:
            return self.max_frames
        through = max(0.0, progress - self.begin) / max(1e-9, 1 - self.begin)
        # All lengths have been met by the middle, so that the longest ones are practised as long as the others.
        return 1 + min(self.max_frames - 1, int(2 * through * self.max_frames))

    def _fallen(self, progress: float) -> float:
        """0 .. 1: how far the ratio has fallen."""
        through = (progress - self.begin) / max(1e-9, 1 - self.begin)
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "delayed_linear":
            return max(0.0, 2 * through - 1)
        if self.schedule == "inverse_sigmoid":
            low, high = _sigmoid(-6.0), _sigmoid(6.0)
            return (_sigmoid(12 * through - 6) - low) / (high - low)
        return through


class Dreamed(NamedTuple):
    """Rows of a batch whose last frames the model dreamed, also where it left the recording."""

    tokens_RTN: torch.Tensor
    rows_R: torch.Tensor
    """Their places in the batch."""
    frames: int
    """How many of each row's frames are dreamed."""


class DreamedContext(NamedTuple):
    """A batch's context after some rows dreamed, and what to log about it."""

    tokens_BTN: torch.Tensor
    dreamed_B: torch.Tensor
    """bool, rows that hold dreamed frames."""
    figures: dict[str, float]
    dreamed: Dreamed | None = None
    """All that was dreamed; None if nothing was."""
    valid_BT: torch.Tensor | None = None
    """bool, frames after which the recording's next frame is the right one; None: all."""

    def is_real(self) -> torch.Tensor:
        """bool [B, T]: frames that were not dreamed."""
        real_BT = torch.ones_like(self.tokens_BTN[..., 0], dtype=torch.bool)
        if self.dreamed is not None:
            real_BT[:, -self.dreamed.frames :] = ~self.dreamed_B[:, None]
        return real_BT


def dream_context(
    model: Dynamics | DynamicsEnsemble,
    tokens_BTN: torch.Tensor,
    actions_BT: torch.Tensor,
    config: ScheduledSamplingConfig,
    progress: float,
    generator: torch.Generator,
) -> DreamedContext:
    """Replace frames of some rows by the model's own.

    Args:
        model: the dynamics as it is now.
        tokens_BTN: int64 real context.
        actions_BT: int64 action taken at each frame.
        config: when and how.
        progress: 0 .. 1 of the training.
        generator: on the CPU; the only source of randomness.
    """
    rows, steps, _ = tokens_BTN.shape
    ratio, longest = config.teacher_forcing_ratio(progress), min(config.longest(progress), steps - 1)
    frames = 1 + int(torch.randint(longest, (), generator=generator))
    chosen = (torch.rand(rows, generator=generator) >= ratio).to(tokens_BTN.device)
    keys_B = torch.randint(2**62, (rows,), generator=generator).to(tokens_BTN.device)
    figures = {"teacher_forcing_ratio": ratio, "dreamed_frames": float(frames)}
    index = chosen.nonzero()[:, 0]
    if not len(index):
        return DreamedContext(tokens_BTN, chosen, figures)
    dream = dream_last_frames if config.method == "self_rollout" else _predict_once
    with torch.no_grad():
        dreamed_RTN = dream(model, tokens_BTN[index], actions_BT[index], frames, config.sampling, keys_B[index])
    real_RTN, valid_BT = tokens_BTN[index], None
    if config.validity == "row":
        kept = ~has_left(dreamed_RTN, real_RTN, config.tolerance)
    else:
        valid_RT = has_followed(dreamed_RTN, real_RTN, config.tolerance)
        figures["dropped_frames"] = 1.0 - float(valid_RT[:, -frames:].float().mean())
        # Where not even one dreamed frame is valid, the whole real row teaches more than its beginning.
        kept = valid_RT[:, -frames]
        valid_BT = torch.ones_like(tokens_BTN[..., 0], dtype=torch.bool).index_copy(0, index[kept], valid_RT[kept])
    figures["dropped_rows"] = 1.0 - float(kept.float().mean())
    all_of_it = Dreamed(dreamed_RTN, index, frames)
    result = tokens_BTN.index_copy(0, index[kept], dreamed_RTN[kept])
    dreamed_B = torch.zeros_like(chosen).index_fill(0, index[kept], True)
    return DreamedContext(result, dreamed_B, figures, all_of_it, valid_BT)


def has_left(dreamed_BTN: torch.Tensor, real_BTN: torch.Tensor, tolerance: int) -> torch.Tensor:
    """bool [B]: whether a row's dream has left the recording, with more than ``tolerance`` wrong last tokens."""
    return (dreamed_BTN[:, -1] != real_BTN[:, -1]).sum(-1) > tolerance


def has_followed(dreamed_BTN: torch.Tensor, real_BTN: torch.Tensor, tolerance: int) -> torch.Tensor:
    """bool [B, T]: whether neither this frame nor one before it has more than ``tolerance`` wrong tokens."""
    return ((dreamed_BTN != real_BTN).sum(-1) > tolerance).cumsum(1) == 0


def dream_last_frames(
    model: Dynamics | DynamicsEnsemble,
    tokens_BTN: torch.Tensor,
    actions_BT: torch.Tensor,
    frames: int,
    sampling: SamplingConfig,
    keys_B: torch.Tensor,
) -> torch.Tensor:
    """Dream the last ``frames`` frames of every row from the real ones before.

    Args:
        model: that dreams.
        tokens_BTN: int64 real frames.
        actions_BT: int64 action taken at each frame; the last frame's, which leads out of the clip, may be missing.
        frames: to dream, fewer than T.
        sampling: how they are drawn.
        keys_B: int64 random key of each row.
    """
    steps = tokens_BTN.shape[1]
    first = steps - frames
    dream = RolloutEngine(model, None, sampling).roll(
        tokens_BTN[:, :first],
        actions_BT[:, : first - 1],
        actions_BT[:, first - 1 : steps - 1],
        keys_B=keys_B,
        first_step=first,
    )
    return torch.cat([tokens_BTN[:, :first], dream.tokens_BTN], 1)


def _predict_once(
    model: Dynamics | DynamicsEnsemble,
    tokens_BTN: torch.Tensor,
    actions_BT: torch.Tensor,
    frames: int,
    sampling: SamplingConfig,
    keys_B: torch.Tensor,
) -> torch.Tensor:
    """Replace the last ``frames`` frames of every row by predictions from the real ones before each."""
    rows, steps, num_tokens = tokens_BTN.shape
    features = model.trunk(tokens_BTN[:, :-1], actions_BT[:, :-1])[:, -frames:].flatten(0, 1)
    current = tokens_BTN[:, -frames - 1 : -1].flatten(0, 1)
    temperature_M = torch.full((len(current),), sampling.temperature, device=tokens_BTN.device)
    times = torch.arange(steps - frames, steps, device=tokens_BTN.device).repeat(rows)
    keys = keys_B.repeat_interleave(frames)
    drawn_MN = draw_frame(model, sampling, features, current, temperature_M, keys, times).tokens_BN
    return torch.cat([tokens_BTN[:, :-frames], drawn_MN.view(rows, frames, num_tokens)], 1)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
