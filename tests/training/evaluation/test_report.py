"""Tables of measurements: one row for each kind and horizon, one column for each source or setting."""

from __future__ import annotations

import math

from genie_env.measurement import Measurement, Metric
from training.evaluation.report import EXPERIMENTS, comparison_table


def test_columns_are_sources_and_rows_keep_a_kind_together() -> None:
    error, one = Metric.POSITION_ERROR, {"sprite": "ball"}
    found = [
        Measurement.of(error, 1.0, horizon=1, **one),
        Measurement.of(Metric.PSNR, 40.0),
        Measurement.of(error, math.nan, horizon=2, **one),
        Measurement.of(error, 3.0, horizon=1, source="copy_last", **one),
    ]
    assert comparison_table(found).splitlines() == [
        "| measured | this world | copy-last |",
        "|---|---|---|",
        "| ball error, px, h = 1 | 1.000 | 3.000 |",
        "| ball error, px, h = 2 | – |  |",
        "| PSNR, dB | 40.0 |  |",
    ]


def test_columns_of_a_sweep_are_its_settings() -> None:
    found = [Measurement.of(Metric.PSNR, 40.0 + t, experiment="decode_steps", setting=t) for t in (1.0, 2.0)]
    assert comparison_table(found).splitlines()[0] == "| measured | decode steps 1 | decode steps 2 |"


def test_every_experiment_has_a_title_and_an_explanation() -> None:
    assert all(title and about.endswith(".") for title, about in EXPERIMENTS.values())
