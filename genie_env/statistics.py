"""Statistics over independent clips, rollouts or episodes: a measured figure and its 95 % interval.

Owns how intervals are made and how figures look in print. Knows nothing about worlds or what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DRAWS = 400


class Figure(NamedTuple):
    """A measured value with its 95 % interval; NaN where there was nothing to measure."""

    value: float
    low: float = math.nan
    high: float = math.nan
    count: int = 0
    """Clips, rollouts, frames or episodes it rests on (0: not counted, and no interval)."""

    def __str__(self) -> str:
        """``0.953 [0.941, 0.962]``."""
        if not math.isfinite(self.value):
            return "–"
        interval = f" [{_short(self.low)}, {_short(self.high)}]" if math.isfinite(self.low) else ""
        return _short(self.value) + interval

    def to_json(self) -> dict[str, float | int | None]:
        """Plain JSON; NaN becomes null."""
        plain = {k: v if math.isfinite(v) else None for k, v in zip(self._fields, self, strict=True)}
        return {**plain, "count": self.count}


Figures = dict[str, Figure]


def interval(statistic: Callable[[np.ndarray], float], count: int) -> Figure:
    """Percentile bootstrap (Efron 1979): the statistic over rows drawn with replacement, again and again.

    Args:
        statistic: figure of the rows with the given indices.
        count: number of independent rows.
    """
    if count == 0:
        return Figure(math.nan)
    value = statistic(np.arange(count))
    rng = np.random.default_rng(0)
    drawn = np.array([statistic(rng.integers(count, size=count)) for _ in range(DRAWS)])
    drawn = drawn[np.isfinite(drawn)]
    if count < 2 or not len(drawn) or not math.isfinite(value):
        return Figure(float(value), count=count)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(float(value), float(low), float(high), count)


def ratio(part_C: np.ndarray, whole_C: np.ndarray) -> Figure:
    """Sum of ``part_C`` over sum of ``whole_C``, both per row; further axes are summed."""
    part, whole = (np.asarray(a, dtype=np.float64).reshape(len(a), -1).sum(1) for a in (part_C, whole_C))
    # Rows with nothing to measure carry no information and are no rows of the bootstrap either.
    part, whole = part[whole > 0], whole[whole > 0]
    return interval(lambda rows: part[rows].sum() / whole[rows].sum(), len(whole))


def mean(values_C: np.ndarray) -> Figure:
    """Mean over rows; further axes are averaged."""
    return ratio(values_C, np.ones(np.shape(values_C)))


def median(values_C: np.ndarray) -> Figure:
    """Median over rows; NaN rows do not count."""
    values = np.asarray(values_C)[np.isfinite(values_C)]
    return interval(lambda rows: float(np.median(values[rows])), len(values))


def difference(part_C: np.ndarray, whole_C: np.ndarray, other_part_C: np.ndarray, other_whole_C: np.ndarray) -> Figure:
    """One ratio minus another, of the same rows: a paired comparison."""
    return _two_ratios(lambda one, other: one - other, part_C, whole_C, other_part_C, other_whole_C)


def quotient(part_C: np.ndarray, whole_C: np.ndarray, other_part_C: np.ndarray, other_whole_C: np.ndarray) -> Figure:
    """One ratio over another, of the same rows: how much of it is left later on, say."""
    return _two_ratios(
        lambda one, other: one / other if other else math.nan, part_C, whole_C, other_part_C, other_whole_C
    )


def _two_ratios(combine: Callable[[float, float], float], *columns_C: np.ndarray) -> Figure:
    columns = [np.asarray(column, dtype=np.float64) for column in columns_C]

    def of(rows: np.ndarray) -> float:
        part, whole, other_part, other_whole = (column[rows].sum() for column in columns)
        return float(combine(part / whole, other_part / other_whole)) if whole and other_whole else math.nan

    return interval(of, len(columns[0]))


def size(figure: Figure) -> Figure:
    """How far a figure is from zero, whichever way; an interval that holds zero then begins there."""
    value, low, high, count = figure
    if not math.isfinite(low):
        return Figure(abs(value), count=count)
    return Figure(abs(value), max(low, -high, 0.0), max(-low, high), count)


def over_stretches(statistic: Callable[..., float], *columns: np.ndarray) -> Figure:
    """Figure of a long series; its interval draws stretches of a hundred, since neighbours resemble each other."""
    if not len(columns[0]):
        return Figure(math.nan)
    stretches = np.array_split(np.arange(len(columns[0])), -(-len(columns[0]) // 100))

    def over(rows: np.ndarray) -> float:
        picks = np.concatenate([stretches[row] for row in rows])
        return statistic(*(column[picks] for column in columns))

    return interval(over, len(stretches))


def psnr(error_C: np.ndarray, count_C: np.ndarray) -> Figure:
    """Peak signal-to-noise ratio in dB of summed squared errors over counts; exact pictures show as 100 dB."""
    square = ratio(error_C, count_C)
    # A small error is a high ratio: the ends of the interval change places.
    return Figure(decibels(square.value), decibels(square.high), decibels(square.low), square.count)


def decibels(mean_square: float) -> float:
    """PSNR of a mean squared error of uint8 values, at most 100 dB."""
    return float(10 * np.log10(255.0**2 / max(mean_square, 255.0**2 * 1e-10)))


def _short(value: float) -> str:
    size = abs(value)
    if 0 < size < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 1000 else f"{value:.0f}"
