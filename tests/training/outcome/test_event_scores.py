"""Scores of rare events forgive one frame, and know nothing of nothing."""

from __future__ import annotations

import numpy as np
import pytest

from training.outcome.event_scores import average_precision, event_counts, f1


def test_average_precision_counts_neighbours_and_is_that_of_the_ranking() -> None:
    real = np.zeros(10, dtype=bool)
    real[[3, 7]] = True
    perfect, beside, wrong = np.zeros(10), np.zeros(10), np.zeros(10)
    perfect[[3, 7]] = 0.9, 0.8
    beside[[4, 6]] = 0.9, 0.8
    wrong[[0, 3, 7]] = 0.9, 0.8, 0.7
    assert average_precision([(perfect, real)]) == average_precision([(beside, real)]) == 1.0
    assert average_precision([(wrong, real)]) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert average_precision([(perfect, real), (wrong, np.zeros(10, dtype=bool))]) < 1.0
    assert np.isnan(average_precision([(wrong, np.zeros(10, dtype=bool))]))


def test_f1_counts_neighbours_and_knows_nothing_of_nothing() -> None:
    nothing, real = np.zeros(10, dtype=bool), np.arange(10) == 5
    assert np.isnan(f1(*event_counts(nothing, nothing)))
    beside = event_counts(np.roll(real, 1), real)
    assert beside.tolist() == [1, 1, 1, 1] and f1(*beside) == pytest.approx(1.0)
    assert event_counts(np.roll(real, 2), real).tolist() == [1, 0, 1, 0]
    assert f1(*beside + event_counts(np.ones(10, dtype=bool), nothing)) < 0.2
    # Elementwise, as the bootstrap asks of it.
    np.testing.assert_equal(f1(*np.array([beside, 0 * beside]).T), [f1(*beside), np.nan])
