"""Where dreams leave the recording, as a section of a report, as JSON and as pictures.

Owns the words and tables. Measures nothing but the intervals of shares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from genie_env.measurement import WORLD, Measurement
from genie_env.statistics import Interval, mean
from genie_env.tables import markdown_table
from training.evaluation.dreams import COPY_LAST, ONE_STEP
from training.evaluation.leaving import HORIZONS, NEIGHBOURS, STAYS, WHOLE, Cause, Departed, Leaving
from training.evaluation.leaving_pictures import by_frequency
from training.evaluation.neighbours import AROUND, FRAMES, NEAREST

CAUSES_PLOT, STRIPS_PLOT = "leaving.png", "leaving_strips.png"
NAMES = {
    WORLD: "world",
    NEIGHBOURS: "neighbours of each place",
    WHOLE: "nearest whole frame",
    COPY_LAST: "copy-last",
}


def section(departed: Departed, accuracy: Sequence[Measurement], training_frames: int) -> str:
    """The section as Markdown."""
    clips, size = len(departed.step_C), 2 * AROUND + 1
    drawn = sum(one.likely for one in departed.found)
    horizons = [h for h in HORIZONS if h <= departed.steps]
    left = ", ".join(f"{mean(departed.step_C < h)} by step {h}" for h in horizons)
    lines = [
        "## Where dreams leave the recording",
        "",
        f"Of {clips} dreams of {departed.steps} steps with the recorded actions, {len(departed.found)} leave: they "
        f"come to a wrong frame that {STAYS - 1} more wrong ones follow. Share that has left: {left}. In {drawn} of "
        "these first wrong frames the most likely tokens, predicted from the real frames before, are right: there only "
        "the draw was wrong.",
        "",
        f"Neighbours are looked up in {training_frames} training frames of the recording. Those of a place are the "
        f"moments at which it and the {size}x{size} places around it showed exactly the same in the last {FRAMES} "
        f"frames, and the same was done; of more than {NEAREST} those count whose whole pictures differ least. A frame "
        f"is *{Cause.KNOWN}* where the neighbours of all its wrong places agree and are right, *{Cause.OPEN}* where "
        f"some disagree, *{Cause.MISLED}* where some agree on something that did not come, and *{Cause.UNSEEN}* where "
        "a wrong place has none.",
        "",
        _table("what happened", departed, lambda one: one.event),
        "Happened: how often up to the frame after the one in which dreams left, whether they left there or not.",
        "",
        _table("kind of mistake", departed, lambda one: one.kind),
        f"![leaving frames by event and cause]({CAUSES_PLOT})",
        "",
        f"![frames around some of them]({STRIPS_PLOT})",
        "",
        "Changed-token accuracy, and that of memory alone: one step from real frames (of the world its most likely "
        "tokens), and rolled out, before a new serve (the world as it draws).",
        "",
        _accuracy_table(accuracy, horizons),
    ]
    return "\n".join(lines)


def as_json(departed: Departed, accuracy: Sequence[Measurement], training_frames: int) -> dict[str, Any]:
    """Everything found, as plain JSON."""
    return {
        "clips": len(departed.step_C),
        "steps": departed.steps,
        "training_frames": training_frames,
        "happened": departed.happened,
        "leaving": [dataclasses.asdict(one) for one in departed.found],
        "accuracy": [one.row() for one in accuracy],
    }


def _table(title: str, departed: Departed, of: Callable[[Leaving], str]) -> str:
    header = (title, "dreams", "share of all", "happened", *(cause.value for cause in Cause), "most likely right")
    names = by_frequency(departed.found, of)
    rows = [_row(name, [one for one in departed.found if of(one) == name], departed) for name in names]
    return markdown_table(header, [*rows, _row("all", departed.found, departed)])


def _row(name: str, found: Sequence[Leaving], departed: Departed) -> list[object]:
    leaves_C = np.zeros(len(departed.step_C))
    leaves_C[[one.clip for one in found]] = 1
    causes = [sum(one.cause == cause for one in found) for cause in Cause]
    happened = departed.happened.get(name, "")
    return [name, len(found), mean(leaves_C), happened, *causes, sum(one.likely for one in found)]


def _accuracy_table(accuracy: Sequence[Measurement], horizons: Sequence[int]) -> str:
    def cell(source: str, horizon: int | None) -> Interval | str:
        found = [one for one in accuracy if one.source == source and one.horizon == horizon]
        return found[0].interval if found else ""

    sources = [one.source for one in accuracy if one.experiment == ONE_STEP]
    rows = [[NAMES[source], cell(source, None), *(cell(source, h) for h in horizons)] for source in sources]
    return markdown_table(["", "one step", *(f"rolled out, h = {h}" for h in horizons)], rows)
