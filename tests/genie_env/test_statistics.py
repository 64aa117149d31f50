"""Intervals cover what they say, comparisons are paired, and nothing to measure is NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genie_env.statistics import (
    Interval,
    auroc,
    block_bootstrap,
    bootstrap,
    bootstrap_sums,
    difference,
    difference_of_means,
    magnitude,
    mean,
    median,
    psnr,
    quotient,
    rank_correlation,
    ranks,
    ratio,
)


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    made = [mean(rng.normal(3.0, 2.0, size=40)) for _ in range(200)]
    covered = np.mean([f.low <= 3.0 <= f.high for f in made])
    assert 0.88 <= covered <= 0.99


def test_sums_and_rows_give_the_same_interval() -> None:
    rng = np.random.default_rng(1)
    part, whole = rng.random(30), rng.random(30) + 0.5
    by_rows = bootstrap(lambda rows: part[rows].sum() / whole[rows].sum(), 30)
    assert bootstrap_sums(np.divide, part, whole) == pytest.approx(by_rows)
    assert by_rows == bootstrap(lambda rows: part[rows].sum() / whole[rows].sum(), 30), "the seed is fixed"


def test_ratio_weighs_rows_by_what_they_hold() -> None:
    found = ratio(np.array([[1, 0], [0, 0], [9, 0]]), np.array([[1, 0], [0, 0], [5, 5]]))
    assert found.value == pytest.approx(10 / 11)
    assert found.count == 2
    assert found.low <= found.value <= found.high


def test_comparisons_pair_their_rows() -> None:
    rng = np.random.default_rng(0)
    hits, whole = rng.integers(3, 9, size=30), np.full(30, 10)
    # Rows differ widely, but each by the same from its own other half.
    assert difference(hits, whole, hits - 2, whole)[:3] == pytest.approx((0.2, 0.2, 0.2))
    assert quotient(hits, whole, 2 * hits, whole)[:3] == pytest.approx((0.5, 0.5, 0.5))
    assert np.isnan(quotient(hits, whole, 0 * hits, whole).value)


def test_a_difference_of_unpaired_means_is_found_where_there_is_one() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(3, 1, 40), rng.normal(0, 1, 25)
    found, none = difference_of_means(ours, theirs), difference_of_means(theirs, theirs)
    assert 0 < found.low < found.value < found.high and found.count == 25
    # Rows are drawn for each side apart, so even a comparison with itself has a width.
    assert none.low < none.value == 0 < none.high


def test_median_leaves_out_nan_rows_and_keeps_the_rest_of_a_row_together() -> None:
    found = median(np.array([[1.0, 3.0], [np.nan, np.nan], [np.nan, 5.0]]))
    assert found.value == 3.0 and found.count == 2
    assert math.isnan(median(np.array([np.nan])).value)


@pytest.mark.parametrize(
    ("signed", "expected"),
    [
        ((0.3, 0.2, 0.4), (0.3, 0.2, 0.4)),
        ((-0.3, -0.4, -0.2), (0.3, 0.2, 0.4)),
        ((0.1, -0.3, 0.2), (0.1, 0.0, 0.3)),
        ((-0.1, -0.2, 0.3), (0.1, 0.0, 0.3)),
    ],
)
def test_magnitude_forgets_the_sign_and_holds_zero_where_the_interval_does(
    signed: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    assert magnitude(Interval(*signed, 7)) == Interval(*expected, 7)


def test_blocks_of_a_series_are_wider_than_its_rows_alone_would_be() -> None:
    series = np.repeat(np.random.default_rng(0).normal(size=20), 100)  # neighbours are equal
    blocks, rows = block_bootstrap(lambda x: float(x.mean()), series), mean(series)
    assert blocks.value == pytest.approx(rows.value) and blocks.count == 20
    assert blocks.high - blocks.low > 5 * (rows.high - rows.low)


def test_psnr_is_100_db_where_exact_and_its_interval_is_in_order() -> None:
    assert psnr(np.zeros(5), np.ones(5)) == Interval(100.0, 100.0, 100.0, 5)
    found = psnr(np.arange(1.0, 9.0), np.ones(8))
    assert found.low < found.value < found.high


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    signal, is_event = rng.integers(6, size=50), rng.random(50) < 0.3
    pairs = signal[is_event][:, None] - signal[~is_event][None]
    assert auroc(signal, is_event) == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    assert math.isnan(auroc(signal, np.zeros(50, bool))) and math.isnan(auroc(signal, np.ones(50, bool)))


def test_rank_correlation_sees_order_alone() -> None:
    values = np.array([3.0, 1.0, 2.0, 2.0])
    assert ranks(values).tolist() == [4.0, 1.0, 2.5, 2.5]
    assert rank_correlation(values, np.exp(5 * values)) == pytest.approx(1.0)
    assert rank_correlation(values, -(values**3)) == pytest.approx(-1.0)
    assert abs(rank_correlation(*np.random.default_rng(0).random((2, 4000)))) < 0.05
    assert math.isnan(rank_correlation(values, np.ones(4)))


def test_nothing_to_measure_is_no_value_and_no_warning() -> None:
    empty = np.zeros(0)
    for found in (
        ratio(np.zeros(3), np.zeros(3)),
        mean(empty),
        median(empty),
        bootstrap(lambda rows: 1.0, 0),
        block_bootstrap(lambda x: 1.0, empty),
        difference_of_means(empty, np.ones(3)),
        difference(np.ones(2), np.zeros(2), np.ones(2), np.ones(2)),
    ):
        assert math.isnan(found.value) and math.isnan(found.low) and str(found) == "–"


def test_an_interval_is_printed_behind_its_value() -> None:
    assert str(Interval(0.5, 0.25, 1.0, 4)) == "0.500 [0.250, 1.000]"
    assert str(Interval(12.345)) == "12.3" and str(Interval(0.00012)) == "0.00012"
