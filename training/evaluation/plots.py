"""Curves of measurements against the horizon of a dream or against a setting.

Owns how curves look. Reads finished measurements only and measures nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from genie_env.measurement import Measurement
from training.evaluation.report import SOURCES

# Okabe and Ito's colours, which stay apart for colour-blind eyes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WIDTH, HEIGHT, COLUMNS = 4.2, 2.9, 3


def plot_horizons(path: Path, measurements: Sequence[Measurement]) -> None:
    """:func:`plot_curves` over the steps of a dream."""
    plot_curves(path, measurements, "horizon", "steps since the last real frame", log=True)


def plot_curves(
    path: Path, measurements: Sequence[Measurement], x: Literal["horizon", "setting"], x_label: str, log: bool = False
) -> None:
    """Draw a panel for each kind of measurement that has a value of ``x``, and in it a line for each source."""
    placed = [one for one in measurements if getattr(one, x) is not None]
    panels, sources = dict.fromkeys(_kind(one, x) for one in placed), dict.fromkeys(one.source for one in placed)
    columns = min(COLUMNS, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        shown = [one for one in placed if _kind(one, x) == panel]
        for colour, source in zip(COLOURS, sources, strict=False):
            _line(axes, [one for one in shown if one.source == source], x, colour)
        if log:
            ticks = sorted({getattr(one, x) for one in shown})
            axes.set_xscale("log")
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
        axes.set_xlabel(x_label)
        axes.set_title(shown[0].label if x == "horizon" else shown[0].label_with_horizon, fontsize=9)
        axes.grid(alpha=0.3)
        if index == 0 and len(sources) > 1:
            axes.legend(fontsize=7)
    figure.savefig(path, dpi=100)


def varied(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those whose value depends on the setting; all where none does."""
    values: dict[tuple[Any, ...], set[float]] = {}
    for one in measurements:
        values.setdefault(_kind(one, "setting"), set()).add(one.value)
    return [one for one in measurements if len(values[_kind(one, "setting")]) > 1] or list(measurements)


def _kind(one: Measurement, x: str) -> tuple[Any, ...]:
    return one.metric, one.subset, one.sprite, None if x == "horizon" else one.horizon


def _line(axes: Axes, points: Sequence[Measurement], x: str, colour: str) -> None:
    points = [one for one in points if math.isfinite(one.value)]
    if not points:
        return
    at = [getattr(one, x) for one in points]
    axes.plot(
        at, [one.value for one in points], ".-", color=colour, label=SOURCES.get(points[0].source, points[0].source)
    )
    lows, highs = (np.array(ends) for ends in zip(*((one.low, one.high) for one in points), strict=True))
    if np.isfinite(lows).any():
        axes.fill_between(at, lows, highs, color=colour, alpha=0.2, linewidth=0)
