"""Predicted frames against those that came: one step from real frames, and dreams by horizon.

Every prediction stands beside baselines that need no world. Knows nothing of free play, reports and command lines.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from genie_env.config import SamplingConfig
from genie_env.games.sprites import find_sprites
from genie_env.measurement import WORLD, Measurement, Metric, Subset, with_fields
from genie_env.statistics import (
    difference,
    difference_of_medians,
    mean,
    median,
    psnr,
    psnr_difference,
    quotient,
    ratio,
)
from training.evaluation.array_metrics import pixel_errors, ssim
from training.evaluation.held_out import Clips, HeldOutPlay, predict, random_actions
from training.evaluation.sprites import position_errors

ONE_STEP, DREAM = "one_step", "dream"
ARGMAX, FORCED, COPY_LAST, FORCED_COPY_LAST = "argmax", "teacher_forced", "copy_last", "forced_copy_last"
MEDIAN = "median"
NEAR = 2.0
"""Pixels within which a dreamed sprite counts as followed: a median of 0 says nothing of the worse half."""
ONE_STEPS = 50
"""Steps of each clip that one-step predictions are scored at, evenly spread."""
WORTH_HORIZON = 4
"""Steps after which random actions are compared with the right ones (Genie, arXiv 2402.15391)."""
PEAK_2 = (2 / 255) ** 2
"""Factor from squared errors of uint8 values to those of [-1, 1]."""


class Scores(NamedTuple):
    """What the values of a prediction are computed from: sums per clip and step, [C, K]."""

    hits: np.ndarray
    """Tokens that had to change and are right."""
    changed: np.ndarray
    right: np.ndarray
    """Share of all tokens that are right."""
    error: np.ndarray
    """Mean squared error of a colour value."""
    foreground_error: np.ndarray
    """Sum over pixels that differ from the median background."""
    foreground: np.ndarray


def hits(
    clips: Clips, predicted_CKN: torch.Tensor, at_K: np.ndarray | slice | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that had to change and are right, and all that had to change, both int [C, K].

    ``at_K`` are the predicted frames (0: the first after the context); by default the first K.
    """
    at_K = slice(predicted_CKN.shape[1]) if at_K is None else at_K
    target, before = clips.real_CHN[:, at_K], clips.previous_CHN[:, at_K]
    changed, right = (target != before).numpy(), (predicted_CKN == target).numpy()
    return (right & changed).sum(-1), changed.sum(-1)


def score(play: HeldOutPlay, clips: Clips, predicted_CKN: torch.Tensor, at_K: np.ndarray) -> Scores:
    """Compare predictions for the frames ``at_K`` (0: the first after the context) with what came."""
    parts = []
    for rows in np.array_split(np.arange(len(predicted_CKN)), -(-len(predicted_CKN) // 16)):
        drawn = play.world.decode(predicted_CKN[rows]).cpu().numpy()
        parts.append(pixel_errors(clips.frames_CTHWC[rows][:, clips.context + at_K], drawn, play.background_HWC))
    errors = (np.concatenate(column) for column in zip(*parts, strict=True))
    right_CK = (predicted_CKN == clips.real_CHN[:, at_K]).numpy().mean(-1)
    return Scores(*hits(clips, predicted_CKN, at_K), right_CK, *errors)


def measure_one_step(
    play: HeldOutPlay, clips: Clips, sampling: SamplingConfig, forced_CHN: torch.Tensor
) -> list[Measurement]:
    """The next frame from at least ``clips.context`` real ones; ``forced_CHN`` is what the world's sampling draws."""
    steps = np.unique(np.linspace(0, forced_CHN.shape[1] - 1, ONE_STEPS).astype(int))
    argmax = predict(play.world, clips, SamplingConfig(temperature=0.0), forced=True)  # in one pass
    predictions = {WORLD: forced_CHN, ARGMAX: argmax, COPY_LAST: clips.previous_CHN, MEDIAN: _background(play, clips)}
    found: list[Measurement] = []
    for source, tokens_CHN in predictions.items():
        scores = score(play, clips, tokens_CHN[:, steps], steps)
        found += with_fields(_of_frames(scores), source=source, experiment=ONE_STEP)
    return found


def measure_dreams(
    play: HeldOutPlay, clips: Clips, horizons: tuple[int, ...], dreamed_CHN: torch.Tensor, forced_CHN: torch.Tensor
) -> list[Measurement]:
    """Dreams with the actions that were really taken, beside teacher forcing and two ways of standing still."""
    predictions = {
        WORLD: dreamed_CHN,
        FORCED: forced_CHN,
        COPY_LAST: clips.previous_CHN[:, :1].expand_as(dreamed_CHN),
        FORCED_COPY_LAST: clips.previous_CHN,
        MEDIAN: _background(play, clips),
    }
    found: list[Measurement] = []
    for source, tokens_CHN in predictions.items():
        # What is left of a baseline's next to nothing says nothing.
        measured = HorizonScores.of(play, clips, horizons, tokens_CHN).measure(relative=source in (WORLD, FORCED))
        found += with_fields(measured, source=source)
    return found


class SpriteScores(NamedTuple):
    """One sprite in predicted frames and in those that came, [C, K]."""

    there: np.ndarray
    drawn: np.ndarray
    error: np.ndarray
    """Distance in pixels; a picture's width where only the predicted sprite is missing. NaN where the sprite was absent
    at the start or is absent now, or somebody scored since: after a point even the paddles start over."""


@dataclass(frozen=True)
class HorizonScores:
    """Predictions after K horizons against what came: every array is [C, K], or [C, R, K] of R repetitions."""

    horizons: tuple[int, ...]
    scores: Scores
    similarity: np.ndarray
    before_serve: np.ndarray
    """Frames before a new serve of the tracked sprite."""
    sprites: dict[str, SpriteScores]
    tracked: str

    @classmethod
    def of(
        cls, play: HeldOutPlay, clips: Clips, horizons: tuple[int, ...], predicted_CHN: torch.Tensor
    ) -> HorizonScores:
        """Score predictions of all frames after the context."""
        at_K, game = np.array(horizons) - 1, play.game
        real_CKHWC = clips.frames_CTHWC[:, clips.context + at_K]
        drawn_CKHWC = play.world.decode(predicted_CHN[:, at_K]).cpu().numpy()
        sprites = {}
        if game.colours is not None:
            start = find_sprites(clips.frames_CTHWC[:, clips.context - 1], game.colours)
            real, drawn = (find_sprites(frames, game.colours) for frames in (real_CKHWC, drawn_CKHWC))
            known_CKS = start.present[:, None] & ~clips.scored_CH[:, at_K, None]
            error_CKS = np.where(known_CKS, position_errors(real, drawn, missing=real_CKHWC.shape[3]), np.nan)
            columns = (real.present, drawn.present, error_CKS)
            sprites = {name: SpriteScores(*(x[..., s] for x in columns)) for s, name in enumerate(real.names)}
        scores = score(play, clips, predicted_CHN[:, at_K], at_K)
        return cls(horizons, scores, ssim(real_CKHWC, drawn_CKHWC), ~clips.served_CH[:, at_K], sprites, game.tracked)

    @classmethod
    def repeated(cls, parts: Sequence[HorizonScores]) -> HorizonScores:
        """Several predictions for the same clips, as by models of several seeds; a clip's stay together."""

        def stack(columns: Iterable[np.ndarray]) -> np.ndarray:
            return np.stack([*columns], axis=1)

        sprites = {
            name: SpriteScores(*map(stack, zip(*(part.sprites[name] for part in parts), strict=True)))
            for name in parts[0].sprites
        }
        return dataclasses.replace(
            parts[0],
            scores=Scores(*map(stack, zip(*(part.scores for part in parts), strict=True))),
            similarity=stack(part.similarity for part in parts),
            before_serve=stack(part.before_serve for part in parts),
            sprites=sprites,
        )

    def measure(self, relative: bool = True) -> list[Measurement]:
        """Values of each horizon; ``relative``: accuracy also as a part of the first horizon's."""
        found: list[Measurement] = []
        before_serve = partial(Measurement.of, subset=Subset.BEFORE_SERVE)
        hits, changed = (x * self.before_serve for x in (self.scores.hits, self.scores.changed))
        for k, horizon in enumerate(self.horizons):
            measured = [
                *_of_frames(Scores(*(column[..., k] for column in self.scores))),
                Measurement.of(Metric.SSIM, mean(self.similarity[..., k])),
                before_serve(Metric.CHANGED_TOKEN_ACCURACY, ratio(hits[..., k], changed[..., k])),
            ]
            if k and relative:
                share = quotient(hits[..., k], changed[..., k], hits[..., 0], changed[..., 0])
                measured.append(before_serve(Metric.RELATIVE_CHANGED_TOKEN_ACCURACY, share))
            for sprite, (there, drawn, error) in self.sprites.items():
                error, same = error[..., k], self.before_serve[..., k]
                both, either = 2 * (there & drawn)[..., k], there[..., k].astype(int) + drawn[..., k]
                of_sprite = [
                    Measurement.of(Metric.POSITION_ERROR, median(error)),
                    Measurement.of(Metric.NEAR, ratio(*near(error))),
                    Measurement.of(Metric.EXISTENCE_F1, ratio(both, either)),
                ]
                if sprite == self.tracked:
                    of_sprite.append(before_serve(Metric.EXISTENCE_F1, ratio(both * same, either * same)))
                measured += with_fields(of_sprite, sprite=sprite)
            found += with_fields(measured, horizon=horizon, experiment=DREAM)
        return found

    def measure_against(self, other: HorizonScores) -> list[Measurement]:
        """Accuracy and the tracked sprite's place, minus the same of a baseline for the same clips: paired."""
        found: list[Measurement] = []
        sums = [(x * self.before_serve) for one in (self, other) for x in (one.scores.hits, one.scores.changed)]
        for k, horizon in enumerate(self.horizons):
            gained = difference(*(column[..., k] for column in sums))
            of = partial(Measurement.of, subset=Subset.BEFORE_SERVE, horizon=horizon, experiment=DREAM)
            found.append(of(Metric.CHANGED_TOKEN_ACCURACY_DIFFERENCE, gained))
        for k, horizon in enumerate(self.horizons if self.tracked in self.sprites else ()):
            ours, theirs = (scores.sprites[self.tracked].error[..., k] for scores in (self, other))
            of = partial(Measurement.of, sprite=self.tracked, horizon=horizon, experiment=DREAM)
            found += [
                of(Metric.POSITION_ERROR_DIFFERENCE, difference_of_medians(ours, theirs)),
                of(Metric.NEAR_DIFFERENCE, difference(*near(ours), *near(theirs))),
            ]
        return found


def near(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool: which sprites a dream followed, of which that is known (NaN: not of those)."""
    return np.nan_to_num(errors, nan=np.inf) <= NEAR, np.isfinite(errors)


def measure_action_worth(
    play: HeldOutPlay, clips: Clips, sampling: SamplingConfig, dreamed_CHN: torch.Tensor, seed: int
) -> list[Measurement]:
    """How much a dream loses by random actions instead of the right ones."""
    steps = min(WORTH_HORIZON, dreamed_CHN.shape[1])
    random_CT = random_actions(play.world, clips, seed)
    random_CHN = predict(play.world, clips.select(slice(None), steps), sampling, actions_CT=random_CT)
    last = np.array([steps - 1])
    right, wrong = (score(play, clips, tokens[:, last], last) for tokens in (dreamed_CHN, random_CHN))
    errors = {
        Subset.FOREGROUND: (right.foreground_error, wrong.foreground_error, right.foreground),
        Subset.WHOLE_PICTURE: (right.error, wrong.error, np.ones_like(right.error)),
    }
    return [
        Measurement.of(Metric.DREAM_DELTA_PSNR, psnr_difference(*columns), subset=subset, horizon=steps)
        for subset, columns in errors.items()
    ]


def _of_frames(s: Scores) -> list[Measurement]:
    """What every game has."""
    return [
        Measurement.of(Metric.CHANGED_TOKEN_ACCURACY, ratio(s.hits, s.changed)),
        Measurement.of(Metric.TOKEN_ACCURACY, mean(s.right)),
        Measurement.of(Metric.FOREGROUND_PSNR, psnr(s.foreground_error, s.foreground)),
        Measurement.of(Metric.PSNR, psnr(s.error, np.ones_like(s.error))),
        Measurement.of(Metric.MSE, mean(PEAK_2 * s.error)),
    ]


def _background(play: HeldOutPlay, clips: Clips) -> torch.Tensor:
    return play.world.encode(play.background_HWC[None, None]).cpu().expand_as(clips.real_CHN)
