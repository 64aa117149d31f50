"""Figures of a benchmark as text, as JSON, and against those of another run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genie_env.files.atomic import write_json
from genie_env.files.errors import FileError
from genie_env.files.reading import read_json

FORMAT = 1
# Columns that say what a row of a table is about; the others are figures.
KEYS = ("obs_type", "context", "runtime", "rows", "threads", "near_step", "far_step", "batch_size")


def read_report(path: Path) -> dict[str, Any]:
    """Read the JSON of an earlier run.

    Raises:
        FileError: if it is none.
    """
    report = read_json(path, "the JSON of an earlier benchmark")
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise FileError(path, f"expected the JSON of an earlier benchmark in format {FORMAT}")
    return report


def publish(report: dict[str, Any], other: dict[str, Any] | None, path: Path | None) -> None:
    """Print a report, beside an earlier one where there is one, and write it as JSON where a path is given."""
    print(as_text(report))
    if other is not None:
        print(compare(report, other))
    if path is not None:
        write_json(path, report)


def as_text(report: dict[str, Any]) -> str:
    """What was measured, on what, and whether it holds."""
    lines = [", ".join(f"{name} {value}" for name, value in report["machine"].items()), _validity(report), ""]
    for title, rows in report["tables"].items():
        lines += [title, *_table(rows), ""]
    return "\n".join(lines)


def _validity(report: dict[str, Any]) -> str:
    load = f"Other processes kept {report['cores_busy_with_others']:.2f} cores busy."
    return load if report["valid"] else f"{load} NOT VALID: measure on an idle machine."


def compare(report: dict[str, Any], other: dict[str, Any]) -> str:
    """Every figure that both runs have, and their ratio."""
    lines = [*differences(report, other)]
    for title, rows in report["tables"].items():
        before = {_key(row): row for row in other["tables"].get(title, [])}
        table = [
            {**{name: row[name] for name in KEYS if name in row}, "figure": name.replace("_", " "), "other": old,
             "this": value, "this / other": value / old if old else math.nan}
            for row in rows
            for name, value in row.items()
            if name not in KEYS and (old := before.get(_key(row), {}).get(name)) is not None
        ]  # fmt: skip
        if table:
            lines += [title, *_table(table), ""]
    return "\n".join(lines)


def differences(report: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """What besides the program differs between two runs."""
    both = {**other["machine"], **report["machine"]}
    for name in both:
        mine, theirs = report["machine"].get(name), other["machine"].get(name)
        if mine != theirs:
            yield f"{name}: {mine} here, {theirs} there"
    for where, run in (("this run", report), ("the other run", other)):
        if not run["valid"]:
            yield f"{where} is NOT VALID: other processes ran"


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in KEYS)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of equal fields as aligned columns."""
    names = list(rows[0])
    cells = [[name.replace("_", " ") for name in names], *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return ["  " + "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells]


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if value and abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
