"""What a test of a theory found: both sides of its comparison, the size of the effect, and the verdict.

Owns the rule of the verdict and how findings are written. Knows nothing about worlds or how anything is measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genie_env.statistics import Interval
from training.evaluation.report import plain

CAUSE, NO_CAUSE, NOT_APPLICABLE = "cause", "not a cause", "not applicable"
RULE = (
    "*Cause*: the whole 95 % bootstrap interval of the effect lies above its threshold. *Not a cause*: it does not; a "
    "star says that the interval reaches the threshold, so that more tests might tell otherwise. *Not applicable*: "
    "there is nothing to compare."
)


@dataclass(frozen=True)
class Finding:
    """Result of one test."""

    number: int
    theory: str
    """As in the analysis that listed the ten theories."""
    measured: Mapping[str, np.ndarray]
    """What was compared: a figure of each test [C], NaN where a test has nothing to say."""
    effect: Interval
    """How much worse things are for the suspected reason; a NaN means that there is nothing to compare."""
    unit: str
    """What the effect is counted in."""
    threshold: float
    """Smallest effect that would explain anything."""
    note: str = ""
    curve: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Figures by step, where the theory speaks of growth."""

    @property
    def verdict(self) -> str:
        """``cause``, ``not a cause`` or ``not applicable``; see ``RULE``."""
        if not math.isfinite(self.effect.value):
            return NOT_APPLICABLE
        # A single test has no interval.
        least = self.effect.low if math.isfinite(self.effect.low) else self.effect.value
        return CAUSE if least > self.threshold else NO_CAUSE

    @property
    def unsettled(self) -> bool:
        """Whether the interval reaches the threshold from below."""
        return self.verdict == NO_CAUSE and self.effect.high > self.threshold

    def row(self) -> str:
        """A row of :func:`table`."""
        compared = "; ".join(f"{name} {_spread(values)}" for name, values in self.measured.items())
        said = ". ".join(part for part in (compared, self.note) if part)
        effect = f"{self.effect} {self.unit}" if self.verdict != NOT_APPLICABLE else "–"
        star = " *" if self.unsettled else ""
        return f"| {self.number} | {self.theory} | {said} | {effect} | {self.threshold:g} | {self.verdict}{star} |"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        measured = {name: dict(zip(("mean", "std"), _moments(v), strict=True)) for name, v in self.measured.items()}
        return {
            "number": self.number,
            "theory": self.theory,
            "measured": measured,
            "effect": plain(self.effect),
            "unit": self.unit,
            "threshold": self.threshold,
            "verdict": self.verdict,
            "unsettled": self.unsettled,
            "note": self.note,
            "curve": {name: list(values) for name, values in self.curve.items()},
        }


def table(findings: Sequence[Finding]) -> str:
    """All findings as Markdown."""
    head = "| | theory | measured (mean ± std over tests) | effect [95 % interval] | threshold | verdict |"
    return "\n".join([head, "|---|---|---|---|---|---|", *(finding.row() for finding in findings)]) + "\n"


def _spread(values_C: np.ndarray) -> str:
    mean, std = _moments(values_C)
    return "–" if mean is None else f"{mean:.3g} ± {std:.2g}"


def _moments(values_C: np.ndarray) -> tuple[float | None, float | None]:
    kept = np.asarray(values_C, dtype=np.float64)
    kept = kept[np.isfinite(kept)]
    return (float(kept.mean()), float(kept.std())) if len(kept) else (None, None)
