"""Several seeds of one experiment become one figure: rliable's definitions, all runs, and nothing is played twice."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import trim_mean

import agents.score_seeds
from agents.sb3.run_folder import LOG, SETTINGS, LogLine
from agents.score_seeds import ScoreSeedsConfig, learning_curve, score_seeds
from agents.ship_policy import SCORES
from genie_env.statistics import interquartile_mean


@pytest.fixture
def runs(run: Path, tmp_path: Path) -> tuple[Path, ...]:
    """Three runs that differ in their seed."""
    folders = []
    for seed in (3, 4, 5):
        folder = Path(shutil.copytree(run, tmp_path / f"s{seed}"))
        settings = json.loads((folder / SETTINGS).read_text())
        (folder / SETTINGS).write_text(json.dumps({**settings, "seed": seed}))
        (folder / "policy" / SCORES).unlink(missing_ok=True)
        folders.append(folder)
    return tuple(folders)


@pytest.fixture
def config(runs: tuple[Path, ...], tmp_path: Path) -> ScoreSeedsConfig:
    return ScoreSeedsConfig(runs, "tiny", tmp_path / "results", games=2, device="cpu")


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 30])
def test_interquartile_mean_is_that_of_rliable(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    found = interquartile_mean(values)
    assert found.value == pytest.approx(trim_mean(values, 0.25)) and found.count == count
    assert values.min() <= found.low <= found.value <= found.high <= values.max()


def test_one_lucky_seed_of_five_does_not_move_the_interquartile_mean() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    lucky = np.array([1.0, 2.0, 3.0, 4.0, 1e6])
    assert interquartile_mean(values).value == interquartile_mean(lucky).value == 3.0


def test_results_have_every_seed_and_no_path_of_the_machine(config: ScoreSeedsConfig, tmp_path: Path) -> None:
    scores = score_seeds(config)
    text = (config.out / "tiny.json").read_text()
    stored = json.loads(text)
    assert [row["seed"] for row in stored["seeds"]] == [3, 4, 5]
    assert [row["mean"] for row in stored["seeds"]] == [one.score.mean for one in scores]
    assert all(row["games"] == 2 and row["steps"] in (64, 128) for row in stored["seeds"])
    means = [row["mean"] for row in stored["seeds"]]
    assert stored["interquartile_mean"]["value"] == pytest.approx(trim_mean(means, 0.25))
    assert stored["worst"] == min(means) and stored["game"]
    assert str(tmp_path) not in text and "/tmp" not in text
    assert {path.name for path in config.out.iterdir()} == {"tiny.json", "tiny.md", "tiny.png"}


def test_scored_runs_are_not_played_again_and_others_are(
    config: ScoreSeedsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score_seeds(config)
    played: list[Path] = []
    plain = agents.score_seeds.transfer
    monkeypatch.setattr(agents.score_seeds, "transfer", lambda c: (played.append(c.policy), plain(c))[1])
    (config.runs[1] / "policy" / SCORES).unlink()
    again = score_seeds(config)
    assert played == [config.runs[1] / "policy"] and [s.score for s in again] == [s.score for s in first]
    played.clear()
    score_seeds(dataclasses.replace(config, games=3))
    assert len(played) == 3


def test_scores_of_an_earlier_policy_are_replaced(config: ScoreSeedsConfig) -> None:
    path = config.runs[0] / "policy" / SCORES
    path.write_text(json.dumps({"policy": {"sha256": "0"}, "players": []}))
    score_seeds(config)
    assert json.loads(path.read_text())["policy"]["sha256"] != "0"


def test_curve_has_the_steps_that_all_runs_share() -> None:
    logs = [[LogLine(s, real_score=s + r, dream=0.0) for s in steps] for r, steps in enumerate([(1, 2, 3), (2, 3, 4)])]
    measure, points = learning_curve(logs)
    assert measure == "real_score" and [p.steps for p in points] == [2, 3]
    assert points[0].scores_R.tolist() == [2.0, 3.0] and points[0].found.value == 2.5
    measure, _ = learning_curve([[LogLine(1, dream=5.0)], [LogLine(1, dream=6.0, real_score=1.0)]])
    assert measure == "dream"


def edit(folder: Path, **changes: object) -> None:
    settings = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**settings, **changes}))


def test_runs_of_other_settings_or_of_one_seed_and_unfinished_ones_are_refused(config: ScoreSeedsConfig) -> None:
    edit(config.runs[1], gamma=0.5)
    with pytest.raises(ValueError, match=r"s4: gamma is 0\.5"):
        score_seeds(config)
    edit(config.runs[1], gamma=0.99, seed=3)
    with pytest.raises(ValueError, match=r"s4: has the seed 3"):
        score_seeds(config)
    (config.runs[2] / LOG).rename(config.runs[2] / "kept")
    with pytest.raises(ValueError, match=r"log\.jsonl"):
        score_seeds(config)
    shutil.rmtree(config.runs[2] / "policy")
    with pytest.raises(ValueError, match="expected a finished run"):
        score_seeds(config)
    assert not config.out.exists()
