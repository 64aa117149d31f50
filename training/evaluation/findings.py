"""What a test of a theory found: both sides of its comparison, the size of the effect, and the verdict.

Owns the rule of the verdict and how findings are written. Knows nothing about worlds or how anything is measured.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from genie_env.measurement import Measurement
from genie_env.statistics import Interval
from genie_env.tables import markdown_table

CAUSE, NO_CAUSE, NOT_APPLICABLE = "cause", "not a cause", "not applicable"
NOTHING = Interval(math.nan)
RULE = (
    "*Cause*: the whole 95 % bootstrap interval of the effect lies above its threshold. *Not a cause*: it does not; a "
    "star marks an interval that reaches the threshold, so that more tests might decide otherwise. *Not applicable*: "
    "there is nothing to compare."
)


class Result(NamedTuple):
    """What the test of a theory returns."""

    effect: Interval
    """How much worse things are for the suspected reason; NaN: there is nothing to compare."""
    compared: Mapping[str, np.ndarray] = {}
    """Sides of the comparison: a value of each clip [C], NaN where a clip has none."""
    note: str = ""
    curve: Sequence[Measurement] = ()
    """Values by horizon, where the theory is about growth."""


@dataclass(frozen=True)
class Finding:
    """A theory and the result of its test."""

    number: int
    theory: str
    """As in the analysis that listed the ten theories."""
    unit: str
    """What the effect is counted in."""
    threshold: float
    """Smallest effect that would explain anything."""
    result: Result

    @property
    def verdict(self) -> str:
        """``cause``, ``not a cause`` or ``not applicable``; see ``RULE``."""
        effect = self.result.effect
        if not math.isfinite(effect.value):
            return NOT_APPLICABLE
        # A single clip has no interval.
        least = effect.low if math.isfinite(effect.low) else effect.value
        return CAUSE if least > self.threshold else NO_CAUSE

    @property
    def unsettled(self) -> bool:
        """Whether the interval reaches the threshold from below."""
        return self.verdict == NO_CAUSE and self.result.effect.high > self.threshold

    def row(self) -> dict[str, Any]:
        """Plain JSON, a row of a table of findings."""
        effect = {k: v if math.isfinite(v) else None for k, v in self.result.effect._asdict().items()}
        compared = [
            {"condition": name, **dict(zip(("mean", "std"), _moments(values_C), strict=True))}
            for name, values_C in self.result.compared.items()
        ]
        return {
            "number": self.number,
            "theory": self.theory,
            **effect,
            "unit": self.unit,
            "threshold": self.threshold,
            "verdict": self.verdict,
            "unsettled": self.unsettled,
            "note": self.result.note,
            "compared": compared,
            "curve": [one.row() for one in self.result.curve],
        }


Inputs = TypeVar("Inputs")


def theory(
    number: int, name: str, unit: str, threshold: float
) -> Callable[[Callable[[Inputs], Result]], Callable[[Inputs], Finding]]:
    """Decorate the test of a theory: the fields are those of :class:`Finding`."""

    def decorate(test: Callable[[Inputs], Result]) -> Callable[[Inputs], Finding]:
        @functools.wraps(test)
        def find(inputs: Inputs) -> Finding:
            return Finding(number, name, unit, threshold, test(inputs))

        return find

    return decorate


def table(findings: Sequence[Finding]) -> str:
    """All findings as Markdown."""
    header = ("", "theory", "measured (mean ± std over clips)", "effect [95 % interval]", "threshold", "verdict")
    return markdown_table(header, [_cells(finding) for finding in findings])


def _cells(finding: Finding) -> tuple[str, ...]:
    effect, compared, note, _ = finding.result
    sides = "; ".join(f"{name} {_spread(values_C)}" for name, values_C in compared.items())
    return (
        str(finding.number),
        finding.theory,
        ". ".join(part for part in (sides, note) if part),
        f"{effect} {finding.unit}" if finding.verdict != NOT_APPLICABLE else "–",
        f"{finding.threshold:g}",
        finding.verdict + (" *" if finding.unsettled else ""),
    )


def _spread(values_C: np.ndarray) -> str:
    mean, std = _moments(values_C)
    return "–" if mean is None else f"{mean:.3g} ± {std:.2g}"


def _moments(values_C: np.ndarray) -> tuple[float | None, float | None]:
    finite = np.asarray(values_C, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    return (float(finite.mean()), float(finite.std())) if len(finite) else (None, None)
