"""What a learner reaches over several seeds: ``python -m agents.score_seeds runs/s0 runs/s1 … --name pong_ppo``.

Each run's policy, which dreams alone chose, plays the real game; no run is left out. Writes ``NAME.json``, ``NAME.md``
and ``NAME.png`` (learning curves) with interquartile means over the seeds. Run the same command again to go on after
a stop: what ``agents.transfer`` wrote beside a policy is not played again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from agents.sb3.checkpoint_choice import choose
from agents.sb3.run_folder import SETTINGS, LogLine, read_log
from agents.ship_policy import SCORES, read_score
from agents.transfer import TransferConfig, transfer
from genie_env.bundle import read_config
from genie_env.command import run
from genie_env.files.atomic import write_json, write_text
from genie_env.files.errors import FileError
from genie_env.files.names import require_file_name
from genie_env.files.reading import read_json
from genie_env.policies.config import JSON, PolicyScore, read_policy_config
from genie_env.statistics import Interval, interquartile_mean, mean
from genie_env.tables import markdown_table

PATHS = ("world", "eval_world", "starts")
"""Settings that may be paths of a machine; results have their last part."""


@dataclass(frozen=True)
class ScoreSeedsConfig:
    """Score finished runs that differ in their seed alone, in the real game."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders that ``agents.train_ppo`` wrote, one for each seed."""
    name: str = "seeds"
    """Name of the files that are written."""
    out: Path = Path("docs/results")
    """Folder of the files that are written."""
    games: int = 30
    """Real games that each policy plays, with drawn actions."""
    seed: int = 0
    """Seed of the games."""
    device: str = "auto"
    """Torch device, or ``auto``."""

    def __post_init__(self) -> None:
        if len(self.runs) < 2 or self.games < 2:
            raise ValueError(f"expected at least 2 runs and 2 games, got {len(self.runs)} and {self.games}")
        require_file_name(self.name)


class Run(NamedTuple):
    """A finished run."""

    folder: Path
    settings: dict[str, Any]
    lines: list[LogLine]
    """Of its log, by steps."""


class SeedScore(NamedTuple):
    """What the policy of one run scored."""

    run: Run
    score: PolicyScore

    def row(self) -> dict[str, Any]:
        """Plain JSON."""
        chosen = choose(self.run.lines).chosen.steps
        return {"run": self.run.folder.name, "seed": self.run.settings["seed"], "steps": chosen, **self.score.to_json()}


class CurvePoint(NamedTuple):
    """Scores of all runs after so many steps."""

    steps: int
    scores_R: np.ndarray
    found: Interval
    """Their interquartile mean."""


def score_seeds(config: ScoreSeedsConfig) -> list[SeedScore]:
    """Play what has not been played, write the results and return them.

    Raises:
        ValueError: if a run is not finished, or two differ in more than their seed or have the same; names both.
        ImportError: if the game is not installed.
    """
    runs = [_read_run(folder) for folder in config.runs]
    _require_one_experiment(runs)
    scores = [SeedScore(one, _score(config, one)) for one in runs]
    measure, curve = learning_curve([one.lines for one in runs])
    settings = {name: _short(name, value) for name, value in runs[0].settings.items() if name != "seed"}
    means_R = np.array([one.score.mean for one in scores])
    content = {
        "game": read_config(runs[0].settings["world"]).source.env_id,
        "settings": settings,
        "seeds": [one.row() for one in scores],
        "interquartile_mean": _plain(interquartile_mean(means_R)),
        "mean": _plain(mean(means_R)),
        "worst": float(means_R.min()),
        "curve_of": measure,
        "curve": [{"steps": p.steps, "scores": p.scores_R.tolist(), **_plain(p.found)} for p in curve],
    }
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / f"{config.name}.json", content)
    write_text(config.out / f"{config.name}.md", markdown(scores))
    _plot(config.out / f"{config.name}.png", measure, curve)
    return scores


def learning_curve(logs: Sequence[list[LogLine]]) -> tuple[str, list[CurvePoint]]:
    """Scores of all runs at the steps after which every one of them was evaluated.

    Returns:
        ``real_score``, or ``dream`` where the real game was not played, and the points by steps.
    """
    measure = "real_score" if all(line.real_score is not None for log in logs for line in log) else "dream"
    by_steps = [{line.steps: value for line in log if (value := getattr(line, measure)) is not None} for log in logs]
    points = []
    for steps in sorted(set(by_steps[0]).intersection(*by_steps[1:])):
        scores_R = np.array([found[steps] for found in by_steps])
        points.append(CurvePoint(steps, scores_R, interquartile_mean(scores_R)))
    return measure, points


def markdown(scores: list[SeedScore]) -> str:
    """A row for each seed, then the aggregates."""
    rows = [
        (
            row["seed"],
            f"{row['steps']:,}",
            row["games"],
            f"{one.score.mean:.1f} [{one.score.low:.1f}, {one.score.high:.1f}]",
        )
        for one in scores
        for row in [one.row()]
    ]
    means_R = np.array([one.score.mean for one in scores])
    table = markdown_table(("seed", "steps of the policy", "games", "score in the real game"), rows)
    aggregates = f"Interquartile mean over seeds {interquartile_mean(means_R)}, mean {mean(means_R)}, "
    return f"{table}\n{aggregates}worst {means_R.min():.1f}.\n"


def _read_run(folder: Path) -> Run:
    if not (folder / "policy" / JSON).exists():
        raise FileError(folder, "has no policy; expected a finished run, so let `python -m agents.train_ppo` end")
    settings = read_json(folder / SETTINGS, "the settings of a run")
    if not isinstance(settings, dict) or not {"seed", "world"} <= set(settings):
        raise FileError(folder / SETTINGS, "expected the settings of `python -m agents.train_ppo`")
    return Run(folder, settings, sorted(read_log(folder), key=lambda line: line.steps))


def _require_one_experiment(runs: list[Run]) -> None:
    """Refuse runs that are not one experiment: a mean over them would mean nothing."""
    first, seen = runs[0], dict[int, Run]()
    for other in runs:
        names = sorted({*first.settings, *other.settings} - {"seed"})
        for name in names:
            ours, theirs = (one.settings.get(name) for one in (first, other))
            if ours != theirs:
                raise ValueError(f"{other.folder}: {name} is {theirs!r}, and {ours!r} in {first.folder}")
        if (twin := seen.setdefault(other.settings["seed"], other)) is not other:
            raise ValueError(f"{other.folder}: has the seed {other.settings['seed']}, and so has {twin.folder}")


def _score(config: ScoreSeedsConfig, one: Run) -> PolicyScore:
    """Of the run's policy: as it was written, or played now."""
    policy = one.folder / "policy"
    sha256 = read_policy_config(policy).sha256
    if (found := _written(policy / SCORES, sha256)) is not None and found.games >= config.games:
        return found
    settings = {"episodes": config.games, "dream_steps": 0, "gif_steps": 0, "scripted": False, "likeliest": False}
    transfer(TransferConfig(policy, seed=config.seed, device=config.device, **settings))
    if (found := read_score(policy / SCORES, sha256)) is None:
        raise FileError(policy / SCORES, "vanished while it was being written")
    return found


def _written(path: Path, sha256: str) -> PolicyScore | None:
    try:
        return read_score(path, sha256)
    except FileError:
        # Of an earlier policy of the run.
        return None


def _short(name: str, value: Any) -> Any:
    return Path(value).name if name in PATHS and isinstance(value, str) else value


def _plain(found: Interval) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else float(value) for name, value in found._asdict().items()}


def _plot(path: Path, measure: str, curve: list[CurvePoint]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = [point.steps for point in curve]
    for scores_T in np.array([point.scores_R for point in curve]).T:
        axes.plot(steps, scores_T, color="grey", linewidth=0.7)
    axes.plot(steps, [point.found.value for point in curve], label="interquartile mean of the seeds")
    axes.fill_between(steps, [p.found.low for p in curve], [p.found.high for p in curve], alpha=0.25, label="95 %")
    axes.set_xlabel("steps in the dream")
    axes.set_ylabel("score in the real game" if measure == "real_score" else "dream, net points per 1,000 steps")
    axes.legend()
    figure.savefig(path, dpi=110)


def main(config: ScoreSeedsConfig) -> None:
    """Command line."""
    print(markdown(score_seeds(config)))


if __name__ == "__main__":
    raise SystemExit(run(main, ScoreSeedsConfig, description=__doc__))
