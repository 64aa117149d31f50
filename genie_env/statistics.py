"""Values of independent clips, rollouts or episodes with their 95 % bootstrap intervals.

Owns how intervals are computed and how a value is printed. Knows nothing about worlds or about what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DRAWS = 1000
"""Resamples of a bootstrap: about as many as percentile intervals need (Efron and Tibshirani 1993, chapter 13)."""
BLOCK = 100
"""Neighbouring rows of a series that are resampled together."""


class Interval(NamedTuple):
    """A measured value with its 95 % interval; NaN where there was nothing to measure."""

    value: float
    low: float = math.nan
    high: float = math.nan
    count: int = 0
    """Independent rows that the value rests on (0: not counted, and no interval)."""

    def __str__(self) -> str:
        """``0.953 [0.941, 0.962]``."""
        if not math.isfinite(self.value):
            return "–"
        ends = f" [{_short(self.low)}, {_short(self.high)}]" if math.isfinite(self.low) else ""
        return _short(self.value) + ends


def bootstrap(statistic: Callable[[np.ndarray], float], count: int) -> Interval:
    """Percentile bootstrap (Efron 1979) with a fixed seed.

    Args:
        statistic: value of the rows with the given indices, int [count]; indices may repeat.
        count: number of independent rows.
    """
    if count == 0:
        return Interval(math.nan)
    rows_DC = _resampled_rows(np.random.default_rng(0), count)
    return _percentiles(statistic(np.arange(count)), np.array([statistic(rows_C) for rows_C in rows_DC]), count)


def bootstrap_sums(combine: Callable[..., np.ndarray], *columns_C: np.ndarray) -> Interval:
    """:func:`bootstrap` of a value that depends on the rows only through sums over them, such as a ratio.

    Args:
        combine: the value, from one sum for each column; works elementwise on arrays. NaN and infinity mean that a
            resample has no value.
        columns_C: numbers of each row; further axes are summed.
    """
    columns = [_sums(column) for column in columns_C]
    count = len(columns[0])
    if count == 0:
        return Interval(math.nan)
    rows_DC = _resampled_rows(np.random.default_rng(0), count)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = combine(*(column.sum() for column in columns))
        return _percentiles(float(value), combine(*(column[rows_DC].sum(1) for column in columns)), count)


def ratio(part_C: np.ndarray, whole_C: np.ndarray) -> Interval:
    """Sum of ``part_C`` over sum of ``whole_C``, both per row; further axes are summed."""
    part, whole = _sums(part_C), _sums(whole_C)
    # Rows with nothing to measure carry no information, so the bootstrap does not draw them.
    return bootstrap_sums(np.divide, part[whole > 0], whole[whole > 0])


def mean(values_C: np.ndarray) -> Interval:
    """Mean over rows; further axes are averaged."""
    return ratio(values_C, np.ones(np.shape(values_C)))


def median(values_C: np.ndarray) -> Interval:
    """Median over all finite values; rows without any do not count, and further axes stay together in a row."""
    values = np.asarray(values_C, dtype=np.float64)
    values = values[np.isfinite(values).any(axis=_after_the_first(values))]
    return bootstrap(lambda rows: float(np.nanmedian(values[rows])), len(values))


def interquartile_mean(values_C: np.ndarray) -> Interval:
    """Mean of the middle half of the values: scores of one game's runs, as in Agarwal et al. 2021 (arXiv:2108.13264).

    A quarter of them, rounded down, is left out at either end. The interval is that of their stratified bootstrap,
    which with a single game resamples its runs.
    """
    values = np.asarray(values_C, dtype=np.float64)

    def of_rows(rows: np.ndarray) -> float:
        kept = np.sort(values[rows])[len(rows) // 4 : len(rows) - len(rows) // 4]
        return float(kept.mean())

    return bootstrap(of_rows, len(values))


def difference(
    part_C: np.ndarray, whole_C: np.ndarray, other_part_C: np.ndarray, other_whole_C: np.ndarray
) -> Interval:
    """One ratio minus another, of the same rows: a paired comparison."""
    return bootstrap_sums(lambda a, b, c, d: a / b - c / d, part_C, whole_C, other_part_C, other_whole_C)


def quotient(part_C: np.ndarray, whole_C: np.ndarray, other_part_C: np.ndarray, other_whole_C: np.ndarray) -> Interval:
    """One ratio over another, of the same rows: what is left of it at a later step, for example."""
    return bootstrap_sums(lambda a, b, c, d: a / b / (c / d), part_C, whole_C, other_part_C, other_whole_C)


def difference_of_means(ours_A: np.ndarray, theirs_B: np.ndarray) -> Interval:
    """Mean of ``ours_A`` minus mean of ``theirs_B``, whose rows are not paired; ``count`` is that of the fewer."""
    count = min(len(ours_A), len(theirs_B))
    if count == 0:
        return Interval(math.nan)
    rng = np.random.default_rng(0)
    ours_D, theirs_D = (values[_resampled_rows(rng, len(values))].mean(1) for values in (ours_A, theirs_B))
    return _percentiles(float(ours_A.mean() - theirs_B.mean()), ours_D - theirs_D, count)


def difference_of_medians(ours_C: np.ndarray, theirs_C: np.ndarray) -> Interval:
    """Median of ``ours_C`` minus median of ``theirs_C``, both over finite values of the same rows: paired."""

    def of_rows(rows: np.ndarray) -> float:
        parts = [values[rows][np.isfinite(values[rows])] for values in (ours_C, theirs_C)]
        return float(np.median(parts[0]) - np.median(parts[1])) if all(map(len, parts)) else math.nan

    return bootstrap(of_rows, len(ours_C))


def magnitude(interval: Interval) -> Interval:
    """Distance of a value from zero; where the interval holds zero, that of the magnitude begins at zero."""
    value, low, high, count = interval
    if not math.isfinite(low):
        return Interval(abs(value), count=count)
    return Interval(abs(value), max(low, -high, 0.0), max(-low, high), count)


def block_bootstrap(statistic: Callable[..., float], *columns_M: np.ndarray) -> Interval:
    """Value of a long series; blocks of ``BLOCK`` rows are resampled, since neighbours resemble each other."""
    length = len(columns_M[0])
    blocks = np.array_split(np.arange(length), -(-length // BLOCK)) if length else []

    def of_blocks(rows: np.ndarray) -> float:
        picks = np.concatenate([blocks[row] for row in rows])
        return statistic(*(column[picks] for column in columns_M))

    return bootstrap(of_blocks, len(blocks))


def auroc(signal_M: np.ndarray, is_event_M: np.ndarray) -> float:
    """Chance that an event has a higher signal than what is none (ties count one half); NaN where either is missing."""
    events = int(is_event_M.sum())
    others = len(is_event_M) - events
    if not events or not others:
        return math.nan
    return float((ranks(signal_M)[is_event_M].sum() - events * (events + 1) / 2) / (events * others))


def rank_correlation(one_M: np.ndarray, other_M: np.ndarray) -> float:
    """Spearman's correlation: Pearson's of the ranks; NaN where one of them does not vary."""
    one, other = (values - values.mean() for values in (ranks(one_M), ranks(other_M)))
    size = math.sqrt(float((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / size) if size else math.nan


def ranks(values_M: np.ndarray) -> np.ndarray:
    """Ranks from 1, float64 [M]; equal values share the mean of theirs."""
    _, where, counts = np.unique(values_M, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[where]


def psnr(error_C: np.ndarray, count_C: np.ndarray) -> Interval:
    """Peak signal-to-noise ratio in dB of summed squared errors over counts; exact pictures are 100 dB."""
    square = ratio(error_C, count_C)
    # A small error is a high ratio: the ends of the interval change places.
    value, low, high = (float(decibels(end)) for end in (square.value, square.high, square.low))
    return Interval(value, low, high, square.count)


def psnr_difference(error_C: np.ndarray, other_error_C: np.ndarray, count_C: np.ndarray) -> Interval:
    """PSNR of summed squared errors minus the PSNR of others, both over the same counts, in dB."""
    return bootstrap_sums(lambda a, b, n: decibels(a / n) - decibels(b / n), error_C, other_error_C, count_C)


def decibels(mean_square: np.ndarray | float) -> np.ndarray:
    """PSNR in dB of mean squared errors of uint8 values, at most 100 dB."""
    return 10 * np.log10(255.0**2 / np.maximum(mean_square, 255.0**2 * 1e-10))


def _sums(column: np.ndarray) -> np.ndarray:
    """Sum of each row over all further axes, float64 [C]."""
    values = np.asarray(column, dtype=np.float64)
    return values.sum(axis=_after_the_first(values))


def _after_the_first(values: np.ndarray) -> tuple[int, ...]:
    return tuple(range(1, values.ndim))


def _resampled_rows(rng: np.random.Generator, count: int) -> np.ndarray:
    """Indices of rows drawn with replacement, int [DRAWS, count]."""
    return rng.integers(count, size=(DRAWS, count))


def _percentiles(value: float, drawn_D: np.ndarray, count: int) -> Interval:
    drawn_D = drawn_D[np.isfinite(drawn_D)]
    if count < 2 or not len(drawn_D) or not math.isfinite(value):
        return Interval(value if math.isfinite(value) else math.nan, count=count)
    low, high = np.percentile(drawn_D, [2.5, 97.5])
    return Interval(float(value), float(low), float(high), count)


def _short(value: float) -> str:
    size = abs(value)
    if 0 < size < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 1000 else f"{value:.0f}"
