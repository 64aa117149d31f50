"""Curves of a report: figures against the horizon of a dream, and against a setting.

Owns how curves look. Reads finished tables only and measures nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet

from genie_env.statistics import Interval
from training.evaluation.report import Figures, Section

# Okabe and Ito's colours, which stay apart for colour-blind eyes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WIDTH, HEIGHT, COLUMNS = 4.2, 2.9, 3


def plot_horizons(path: Path, section: Section, columns: Sequence[str] | None = None) -> None:
    """Draw every figure of ``section`` whose rows are named ``figure, h = 5`` against h, a line for each column."""
    rows = list(dict.fromkeys(row for figures in section.columns.values() for row in figures))
    names = list(dict.fromkeys(row.rsplit(", h = ", 1)[0] for row in rows if ", h = " in row))
    sheet, places = _sheet(len(names))
    for name, axes in zip(names, places, strict=True):
        for colour, column in zip(COLOURS, columns or section.columns, strict=False):
            at = {int(r.rsplit(", h = ", 1)[1]): f for r, f in section.columns[column].items() if _is(r, name)}
            _line(axes, list(at), list(at.values()), column, colour)
        axes.set_xscale("log")
        ticks = sorted({int(row.rsplit(", h = ", 1)[1]) for row in rows if _is(row, name)})
        axes.set_xticks(ticks, [str(h) for h in ticks])
        axes.minorticks_off()
        axes.set_xlabel("steps since the last real frame")
        axes.set_title(name, fontsize=9)
    _save(path, sheet, places)


def plot_setting(path: Path, setting: str, by_value: dict[float, Figures], names: Sequence[str]) -> None:
    """Draw the figures ``names`` against the values of a setting."""
    names = [name for name in names if any(name in figures for figures in by_value.values())]
    sheet, places = _sheet(len(names))
    for name, axes in zip(names, places, strict=True):
        values = [value for value, figures in by_value.items() if name in figures]
        _line(axes, values, [by_value[value][name] for value in values], "this world", COLOURS[0])
        axes.set_xlabel(setting)
        axes.set_title(name, fontsize=9)
    _save(path, sheet, places)


def plot_lines(path: Path, across: str, title: str, x: Sequence[float], lines: dict[str, Sequence[Interval]]) -> None:
    """Draw some figures over ``x`` in one place."""
    sheet, (axes,) = _sheet(1)
    for colour, (name, figures) in zip(COLOURS, lines.items(), strict=False):
        _line(axes, x, figures, name, colour)
    axes.set_xlabel(across)
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=9)
    _save(path, sheet, [axes])


def _is(row: str, name: str) -> bool:
    return row.rsplit(", h = ", 1)[0] == name and ", h = " in row


def _sheet(count: int) -> tuple[Sheet, list[Axes]]:
    columns = min(COLUMNS, max(1, count))
    rows = max(1, -(-count // columns))
    sheet = Sheet(figsize=(WIDTH * columns, HEIGHT * rows), layout="constrained")
    FigureCanvasAgg(sheet)
    return sheet, [sheet.add_subplot(rows, columns, index + 1) for index in range(count)]


def _line(axes: Axes, x: Sequence[float], figures: Sequence[Interval], label: str, colour: str) -> None:
    kept = [(x, f) for x, f in zip(x, figures, strict=True) if math.isfinite(f.value)]
    if not kept:
        return
    at = [x for x, _ in kept]
    axes.plot(at, [f.value for _, f in kept], ".-", color=colour, label=label)
    lows, highs = (np.array([getattr(f, end) for _, f in kept], dtype=float) for end in ("low", "high"))
    if np.isfinite(lows).any():
        axes.fill_between(at, lows, highs, color=colour, alpha=0.2, linewidth=0)


def _save(path: Path, sheet: Sheet, places: Sequence[Axes]) -> None:
    for axes in places:
        axes.grid(alpha=0.3)
    labelled = next((axes for axes in places if axes.get_legend_handles_labels()[0]), None)
    if labelled is not None:
        labelled.legend(fontsize=7)
    sheet.savefig(path, dpi=100)
