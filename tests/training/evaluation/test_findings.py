"""The verdict asks for the whole interval; a finding is a row of a table."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from genie_env.statistics import Interval
from training.evaluation.findings import CAUSE, NO_CAUSE, NOT_APPLICABLE, NOTHING, Finding, Result, table, theory


def finding(value: float, low: float = math.nan, high: float = math.nan) -> Finding:
    compared = {"one": np.array([1.0, 3.0, np.nan])}
    return Finding(2, "name", "points", 0.05, Result(Interval(value, low, high, 9), compared))


@pytest.mark.parametrize(
    ("effect", "verdict", "unsettled"),
    [
        ((0.2, 0.1, 0.3), CAUSE, False),
        ((0.2, 0.04, 0.3), NO_CAUSE, True),
        ((0.02, 0.0, 0.04), NO_CAUSE, False),
        ((-0.2, -0.3, -0.1), NO_CAUSE, False),
        ((0.2,), CAUSE, False),
        ((0.01,), NO_CAUSE, False),
        ((math.nan,), NOT_APPLICABLE, False),
    ],
)
def test_verdict_asks_for_the_whole_interval(effect: tuple[float, ...], verdict: str, unsettled: bool) -> None:
    assert (finding(*effect).verdict, finding(*effect).unsettled) == (verdict, unsettled)


def test_the_table_shows_mean_and_spread_of_the_clips() -> None:
    text = table([finding(0.2, 0.04, 0.3), finding(math.nan)])
    assert "one 2 ± 1" in text
    assert "| 0.200 [0.040, 0.300] points | 0.05 | not a cause * |" in text
    assert "| – | 0.05 | not applicable |" in text


def test_a_row_is_strict_json_with_both_sides_of_the_comparison() -> None:
    row = json.loads(json.dumps(finding(0.2, 0.1).row(), allow_nan=False))
    assert row["value"] == 0.2 and row["high"] is None and row["verdict"] == CAUSE
    assert row["compared"] == [{"condition": "one", "mean": 2.0, "std": 1.0}]


def test_a_decorated_test_gives_a_finding_of_its_theory() -> None:
    @theory(3, "name", "points", 0.1)
    def test(inputs: float) -> Result:
        return Result(Interval(inputs) if inputs else NOTHING)

    assert test(0.2) == Finding(3, "name", "points", 0.1, Result(Interval(0.2)))
    assert test(0.2).verdict == CAUSE and test(0.0).verdict == NOT_APPLICABLE
