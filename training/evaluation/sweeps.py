"""Quality against a setting: held-out dreams and free play under several ways to sample.

Owns which settings are tried on what. Knows nothing of command lines and of how play is measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from genie_env.config import SamplingConfig
from genie_env.measurement import Measurement, Metric, Subset, with_fields
from training.evaluation.dreams import HorizonScores
from training.evaluation.held_out import Clips, HeldOutPlay, predict
from training.evaluation.plots import plot_curves, varied

MOST_CLIPS = 64
HORIZONS = (1, 10, 20)
SHOWN = {
    *((metric, Subset.BEFORE_SERVE) for metric in (Metric.CHANGED_TOKEN_ACCURACY, Metric.EXISTENCE_F1)),
    *((metric, "") for metric in (Metric.FOREGROUND_PSNR, Metric.POSITION_ERROR, Metric.PRESENT, Metric.EXACTLY_ONE)),
    *((metric, "") for metric in (Metric.POINTS, Metric.REPEATING_ROWS, Metric.TOKEN_HISTOGRAM_DISTANCE)),
}
"""Metrics and subsets that a sweep keeps; all of them at every setting would be too much to read."""

MeasureFreePlay = Callable[..., list[Measurement]]
"""Plays the dream with the given options of the environment and measures what is seen."""


def sweep_sampling(
    play: HeldOutPlay,
    clips: Clips,
    own: SamplingConfig,
    field: str,
    values: Sequence[Any],
    measure_free_play: MeasureFreePlay,
) -> list[Measurement]:
    """Dreams of held-out clips, and free play, at each value of a field of ``own``."""
    horizons = tuple(h for h in HORIZONS if h <= clips.scored_CH.shape[1])
    short = clips.select(slice(MOST_CLIPS), max(horizons))
    found: list[Measurement] = []
    for value in values:
        dreamed_CHN = predict(play.world, short, dataclasses.replace(own, **{field: value}))
        dreams = HorizonScores.of(play, short, horizons, dreamed_CHN).measure()
        measured = [*dreams, *measure_free_play(**{field: value})]
        found += _at(measured, field, value)
    return found


def sweep_diversity(diversities: Sequence[float], measure_free_play: MeasureFreePlay) -> list[Measurement]:
    """Free play at each action diversity."""
    option = "action_diversity"
    return [one for value in diversities for one in _at(measure_free_play(**{option: value}), option, value)]


def plot_sweep(folder: Path, measurements: Sequence[Measurement]) -> str:
    """Draw what varies into ``folder`` and return the file's name."""
    experiment = measurements[0].experiment
    plot_curves(folder / f"{experiment}.png", varied(measurements), "setting", experiment.replace("_", " "))
    return f"{experiment}.png"


def _at(measurements: Sequence[Measurement], experiment: str, value: float) -> list[Measurement]:
    shown = [one for one in measurements if (one.metric, one.subset) in SHOWN]
    return with_fields(shown, experiment=experiment, setting=float(value))
