"""Measured figures with their intervals, and the folder they are written to: JSON, Markdown and pictures.

Owns statistics over independent clips and how figures look. Knows nothing about worlds or how anything is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genie_env.episodes import write_json
from genie_env.renderer import upscale
from genie_env.video import write_gif, write_png

DRAWS = 400
SCALE = 4
WORLD = "this world"


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
    return Figure(_decibels(square.value), _decibels(square.high), _decibels(square.low), square.count)


@dataclass(frozen=True)
class Section:
    """One table: a column is what was measured on one thing (this world, a baseline, the real game)."""

    title: str
    about: str
    columns: dict[str, Figures]

    def markdown(self) -> str:
        """Heading, explanation and table."""
        rows = list(dict.fromkeys(name for figures in self.columns.values() for name in figures))
        lines = [f"## {self.title}", "", self.about, "", "| figure | " + " | ".join(self.columns) + " |"]
        lines.append("|---|" + "---|" * len(self.columns))
        for row in rows:
            cells = [str(figures[row]) if row in figures else "" for figures in self.columns.values()]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """``{column: {figure: {value, low, high, count}}}``."""
        return {c: {name: f.to_json() for name, f in figures.items()} for c, figures in self.columns.items()}


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured on one world."""

    world: str
    settings: dict[str, Any]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()

    def figure(self, section: str, name: str, column: str = WORLD) -> Figure:
        """One figure.

        Raises:
            KeyError: if it was not measured.
        """
        return next(s for s in self.sections if s.title == section).columns[column][name]

    def flat(self) -> dict[str, float]:
        """This world's own finite figures as ``section: figure``, for a model card."""
        return {
            f"{s.title}: {name}": round(f.value, 4)
            for s in self.sections
            for name, f in s.columns.get(WORLD, {}).items()
            if math.isfinite(f.value)
        }

    def to_json(self) -> dict[str, Any]:
        """All figures, plain."""
        sections = {s.title: s.to_json() for s in self.sections}
        return {"world": self.world, "settings": self.settings, "notes": list(self.notes), "sections": sections}


class Pictures(NamedTuple):
    """What the report shows. The clips' frame 0 is the last real one; dreams go on from it by themselves."""

    real_CTHWC: np.ndarray
    dream_CTHWC: np.ndarray
    horizons: tuple[int, ...]
    long_dream_THWC: np.ndarray
    fps: float


def write_report(folder: Path, evaluation: Evaluation, pictures: Pictures) -> None:
    """Write ``metrics.json``, ``report.md`` and the pictures; files of an earlier report are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    names = _write_pictures(folder, pictures)
    lines = [
        f"# {evaluation.world}",
        "",
        "Measured by `python -m training.evaluate` on held-out episodes; 95 % bootstrap intervals in brackets.",
        "",
        *(f"- {note}" for note in evaluation.notes),
        "",
        *(section.markdown() for section in evaluation.sections),
        "## Pictures",
        "",
        f"Strips: real above, dreamed below, from the last real frame on, after {_listed(pictures.horizons)} steps.",
        "",
        *(f"![{name}]({name})" for name in names),
        "",
        "## Settings",
        "",
        *(f"- {name}: `{value}`" for name, value in evaluation.settings.items()),
    ]
    (folder / "report.md").write_text("\n".join(lines) + "\n")
    write_json(folder / "metrics.json", evaluation.to_json())


def _write_pictures(folder: Path, pictures: Pictures) -> list[str]:
    names = []
    at = [0, *pictures.horizons]
    for index, (real, dream) in enumerate(zip(pictures.real_CTHWC, pictures.dream_CTHWC, strict=True)):
        rows = [_row([frames[t] for t in at]) for frames in (real, dream)]
        names.append(f"strip_{index}.png")
        write_png(folder / names[-1], upscale(_column(rows), SCALE))
    pairs = zip(pictures.real_CTHWC.swapaxes(0, 1), pictures.dream_CTHWC.swapaxes(0, 1), strict=True)
    beside = [_column([_row([r, d]) for r, d in zip(*pair, strict=True)]) for pair in pairs]
    write_gif(folder / "real_beside_dream.gif", beside, pictures.fps, SCALE)
    write_gif(folder / "long_dream.gif", pictures.long_dream_THWC, pictures.fps, SCALE)
    return [*names, "real_beside_dream.gif", "long_dream.gif"]


def _row(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures side by side, a light line between them."""
    return np.concatenate([np.pad(f, ((0, 0), (0, 1), (0, 0)), constant_values=200) for f in frames], axis=1)


def _column(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.pad(r, ((0, 1), (0, 0), (0, 0)), constant_values=200) for r in rows], axis=0)


def _decibels(mean_square: float) -> float:
    return float(10 * np.log10(255.0**2 / max(mean_square, 255.0**2 * 1e-10)))


def _short(value: float) -> str:
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 1000 else f"{value:.0f}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(n) for n in numbers[:-1]) + f" and {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
