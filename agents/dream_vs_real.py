"""Does the agent win the game, or only its dream? Dream return against real return by training step.

``python -m agents.dream_vs_real runs/ppo`` writes ``exploit.md``, ``exploit.json`` and ``exploit.png`` into the run's
folder. The checkpoint is chosen by dreams alone, drawn with another seed or by another world than the agent learned
in; the real scores stand beside them, so that a choice that only exploits the world's errors shows.
"""

from __future__ import annotations

import math
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from agents.sb3.run_folder import read_log
from genie_env.command import run
from genie_env.files.atomic import write_json

COLUMNS = {
    "steps": "steps",
    "learning": "learning, net points per 1,000",
    "judge": "judge, net points per 1,000",
    "entropy": "judge, token entropy (nats)",
    "real": "real game, net points per 1,000",
    "real_score": "real game, mean score",
}


@dataclass(frozen=True)
class ExploitConfig:
    """Compare what a run's agents earned in dreams and in the real game."""

    run: tyro.conf.Positional[Path]
    """Folder that ``agents.train_ppo`` wrote."""


def choose(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The line whose judge score, averaged with its neighbours', is highest; the later of equals.

    One judgement is a few dozen points and would favour the lucky. The real game is not looked at.

    Raises:
        ValueError: if nothing was judged.
    """
    judged = sorted((line for line in lines if line.get("judge") is not None), key=lambda line: line["steps"])
    if not judged:
        raise ValueError("expected at least one judged checkpoint; lower --eval-every")
    around = [judged[max(0, i - 1) : i + 2] for i in range(len(judged))]
    smooth = [sum(line["judge"] for line in near) / len(near) for near in around]
    return judged[max(range(len(judged)), key=lambda i: (smooth[i], i))]


def report(run: Path) -> dict[str, Any]:
    """Write the report of a run and return it.

    Raises:
        ValueError: if the run has no log, or nothing in it was judged.
    """
    lines = read_log(run)
    chosen = choose(lines)
    played = [line for line in lines if line.get("real") is not None]
    best = max(played, key=lambda line: line["real"]) if played else None
    found = {
        "chosen": chosen,
        "best_in_real": best,
        "regret": None if best is None or chosen.get("real") is None else best["real"] - chosen["real"],
        "correlation": correlation([line["judge"] for line in played], [line["real"] for line in played]),
        "checkpoints": lines,
    }
    write_json(run / "exploit.json", found)
    (run / "exploit.md").write_text(markdown(found))
    _plot(run / "exploit.png", lines, chosen["steps"])
    return found


def publish(run: Path) -> Path:
    """Write the report of a run, copy the policy chosen to ``policy`` and return that folder.

    Raises:
        ValueError: as :func:`report`.
    """
    chosen, target = report(run)["chosen"], run / "policy"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(run / "policies" / f"{chosen['steps']:09d}", target)
    return target


def correlation(a: list[float], b: list[float]) -> float | None:
    """Pearson's r; None of fewer than three pairs or constant values."""
    if len(a) < 3:
        return None
    try:
        return statistics.correlation(a, b)
    except statistics.StatisticsError:
        return None


def markdown(found: dict[str, Any]) -> str:
    """The table, the choice, and what looking at the real game would have changed."""
    rows = [
        "| " + " | ".join(_short(line.get(key)) for key in COLUMNS) + " |"
        for line in sorted(found["checkpoints"], key=lambda line: line["steps"])
    ]
    chosen, best = found["chosen"], found["best_in_real"]
    words = [f"Chosen by the judge alone: the policy after {chosen['steps']:,} steps."]
    if found["regret"] is not None:
        words.append(
            f"In the real game it earns {chosen['real']:+.2f} net points per 1,000 steps; the best checkpoint there "
            f"({best['steps']:,} steps) earns {best['real']:+.2f}, which is {found['regret']:.2f} more."
        )
    if found["correlation"] is not None:
        words.append(f"Correlation of judge and real score over checkpoints: {found['correlation']:.2f}.")
    head = ["| " + " | ".join(COLUMNS.values()) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join(["# Dream and real return by training step", "", *head, *rows, "", *words]) + "\n"


def _short(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _plot(path: Path, lines: list[dict[str, Any]], chosen: int) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:  # The table says the same; curves need the train extra.
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for key in ("learning", "judge", "real"):
        points = [(line["steps"], line[key]) for line in lines if line.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=COLUMNS[key])
    axes.axvline(chosen, linestyle=":", color="grey", label="chosen")
    axes.set_xlabel("steps")
    axes.set_ylabel("net points per 1,000 steps")
    axes.legend()
    figure.savefig(path, dpi=110)


def main(config: ExploitConfig) -> None:
    """Command line."""
    print(markdown(report(config.run)))


if __name__ == "__main__":
    raise SystemExit(run(main, ExploitConfig, description=__doc__))
