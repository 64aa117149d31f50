"""Tables of measured figures and the folder they are written to: JSON, Markdown and pictures.

Owns how a report looks. Knows nothing about worlds or how anything is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genie_env.files.atomic import write_json
from genie_env.files.video import GIF_FRAMES, write_gif, write_png
from genie_env.frames import upscale
from genie_env.statistics import Interval

Figures = dict[str, Interval]

SCALE = 4
WORLD = "this world"


def plain(found: Interval) -> dict[str, float | int | None]:
    """Plain JSON; NaN becomes null."""
    return {**{k: v if math.isfinite(v) else None for k, v in found._asdict().items()}, "count": found.count}


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
        return {c: {name: plain(f) for name, f in figures.items()} for c, figures in self.columns.items()}


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured on one world."""

    world: str
    settings: dict[str, Any]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()

    def figure(self, section: str, name: str, column: str = WORLD) -> Interval:
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


def write_report(folder: Path, evaluation: Evaluation, pictures: Pictures, plots: Sequence[str] = ()) -> None:
    """Write ``metrics.json``, ``report.md`` and the pictures; files of an earlier report are replaced.

    Args:
        folder: where to write.
        evaluation: what was measured.
        pictures: frames to show.
        plots: names of pictures that already lie in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = _write_pictures(folder, pictures)
    lines = [
        f"# {evaluation.world}",
        "",
        "Measured by `python -m training.evaluate` on held-out episodes; 95 % bootstrap intervals in brackets.",
        "",
        *(f"- {note}" for note in evaluation.notes),
        "",
        *(line for name in plots for line in (f"![{name}]({name})", "")),
        *(section.markdown() for section in evaluation.sections),
        "## Pictures",
        "",
        f"Strips: real above, dreamed below, from the last real frame on, after {_listed(pictures.horizons)} steps. "
        "Moving: real on the left, dreamed on the right, between the steps in the file's name; and the end of a long "
        "dream.",
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
    stops = sorted(pictures.horizons)[-3:]
    for start, stop in zip([0, *stops], stops, strict=False):
        names.append(f"real_beside_dream_{start}_to_{stop}.gif")
        write_gif(folder / names[-1], beside[start : stop + 1], pictures.fps, SCALE)
    write_gif(folder / "long_dream.gif", pictures.long_dream_THWC[-GIF_FRAMES:], pictures.fps, SCALE)
    return [*names, "long_dream.gif"]


def _row(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures side by side, a light line between them."""
    return np.concatenate([np.pad(f, ((0, 0), (0, 1), (0, 0)), constant_values=200) for f in frames], axis=1)


def _column(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.pad(r, ((0, 1), (0, 0), (0, 0)), constant_values=200) for r in rows], axis=0)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(n) for n in numbers[:-1]) + f" and {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
