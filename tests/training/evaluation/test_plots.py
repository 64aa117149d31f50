"""Curves are drawn from measurements alone."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image

from genie_env.measurement import Measurement, Metric
from training.evaluation.plots import WIDTH, plot_curves, plot_horizons, varied


def test_a_panel_is_drawn_for_each_kind_that_has_a_horizon(tmp_path: Path) -> None:
    one_kind = [Measurement.of(Metric.PSNR, 40.0 - h, horizon=h, source=s) for h in (1, 5) for s in ("world", "median")]
    two_kinds = [*one_kind, *(Measurement.of(Metric.SSIM, math.nan, horizon=h) for h in (1, 5))]
    widths = []
    for index, found in enumerate((one_kind, two_kinds, [*two_kinds, Measurement.of(Metric.NMI, 0.5)])):
        plot_horizons(tmp_path / f"{index}.png", found)
        with Image.open(tmp_path / f"{index}.png") as picture:
            widths.append(picture.size[0] / (100 * WIDTH))
    assert widths == [1, 2, 2]


def test_what_a_setting_does_not_change_is_not_drawn(tmp_path: Path) -> None:
    found = [Measurement.of(Metric.PSNR, 40.0 + t, setting=t, horizon=h) for t in (0.0, 1.0) for h in (1, 10)]
    still = [Measurement.of(Metric.SSIM, 1.0, setting=t) for t in (0.0, 1.0)]
    assert varied([*found, *still]) == found
    assert varied(still) == still, "something is drawn all the same"
    plot_curves(tmp_path / "plot.png", found, "setting", "temperature")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size[0] == 2 * 100 * WIDTH
