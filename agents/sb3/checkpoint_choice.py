"""Which of a run's policies to play with, by its scores in dreams alone; and what the choice costs in the real game.

Owns the choice and its report. Knows nothing about how policies are scored.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agents.sb3.run_folder import LogLine, policy_folder, read_log
from genie_env.files.atomic import whole_folder, write_json, write_text
from genie_env.tables import markdown_table

REPORT = "dream_vs_real.md"
COLUMNS = {
    "steps": "steps",
    "learning": "learning, net points per 1,000",
    "dream": "dream, net points per 1,000",
    "entropy": "dream, token entropy (nats)",
    "real": "real game, net points per 1,000",
    "real_score": "real game, mean score",
}


class Choice(NamedTuple):
    """The checkpoint chosen, and what looking at the real game would have changed."""

    chosen: LogLine
    best_in_real: LogLine | None
    """None where the real game was not played."""
    lines: list[LogLine]

    @property
    def regret(self) -> float | None:
        """Points per 1,000 steps of the real game that the choice loses against the best checkpoint there."""
        if self.best_in_real is None or self.best_in_real.real is None or self.chosen.real is None:
            return None
        return self.best_in_real.real - self.chosen.real

    @property
    def correlation(self) -> float | None:
        """Pearson's r of dream and real score over checkpoints; None of fewer than three or constant ones."""
        pairs = [(line.dream, line.real) for line in self.lines if line.dream is not None and line.real is not None]
        try:
            return statistics.correlation(*zip(*pairs, strict=True)) if len(pairs) > 2 else None
        except statistics.StatisticsError:
            return None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "chosen": self.chosen.to_json(),
            "best_in_real": None if self.best_in_real is None else self.best_in_real.to_json(),
            "regret": self.regret,
            "correlation": self.correlation,
            "checkpoints": [line.to_json() for line in self.lines],
        }


def choose(lines: Sequence[LogLine]) -> Choice:
    """The checkpoint whose dream score, averaged with its neighbours', is highest; the later of equals.

    One evaluation is a few dozen points and would favour the lucky. The real game is not looked at.

    Raises:
        ValueError: if nothing was evaluated.
    """
    lines = sorted(lines, key=lambda line: line.steps)
    scored = [(line, line.dream) for line in lines if line.dream is not None]
    if not scored:
        raise ValueError("expected at least one evaluated checkpoint; lower --eval-every")
    around = [[score for _, score in scored[max(0, i - 1) : i + 2]] for i in range(len(scored))]
    best = max(range(len(scored)), key=lambda i: (sum(around[i]) / len(around[i]), i))
    played = [line for line in lines if line.real is not None]
    return Choice(scored[best][0], max(played, key=lambda line: line.real or 0.0, default=None), lines)


def write_choice(run: Path) -> Choice:
    """Choose among a run's policies and write ``dream_vs_real.md``, ``.json`` and ``.png``.

    Raises:
        ValueError: if the run has no log, or nothing in it was evaluated.
    """
    choice = choose(read_log(run))
    write_json(run / "dream_vs_real.json", choice.to_json())
    write_text(run / REPORT, markdown(choice))
    _plot(run / "dream_vs_real.png", choice)
    return choice


def publish_policy(run: Path) -> Path:
    """:func:`write_choice`, copy the policy chosen to ``policy`` and return that folder.

    Raises:
        ValueError: as :func:`write_choice`.
    """
    source, target = policy_folder(run, write_choice(run).chosen.steps), run / "policy"
    with whole_folder(target, replace=True) as partial:
        shutil.copytree(source, partial, dirs_exist_ok=True)
    return target


def markdown(choice: Choice) -> str:
    """The table, the choice, and what looking at the real game would have changed."""
    rows = [[_cell(getattr(line, name)) for name in COLUMNS] for line in choice.lines]
    chosen, best = choice.chosen, choice.best_in_real
    sentences = [f"Chosen by dreams alone: the policy after {chosen.steps:,} steps."]
    if best is not None and choice.regret is not None:
        sentences.append(
            f"In the real game it earns {chosen.real:+.2f} net points per 1,000 steps; the best checkpoint there "
            f"({best.steps:,} steps) earns {best.real:+.2f}, which is {choice.regret:.2f} more."
        )
    if choice.correlation is not None:
        sentences.append(f"Correlation of dream and real score over checkpoints: {choice.correlation:.2f}.")
    head = "# Dream and real return by training step"
    return f"{head}\n\n{markdown_table([*COLUMNS.values()], rows)}\n{' '.join(sentences)}\n"


def _cell(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _plot(path: Path, choice: Choice) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:  # The table has the same values; curves need the agents extra.
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in ("learning", "dream", "real"):
        points = [(line.steps, getattr(line, name)) for line in choice.lines if getattr(line, name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=COLUMNS[name])
    axes.axvline(choice.chosen.steps, linestyle=":", color="grey", label="chosen")
    axes.set_xlabel("steps")
    axes.set_ylabel("net points per 1,000 steps")
    axes.legend()
    figure.savefig(path, dpi=110)
