"""The checkpoint is chosen by dreams alone; the report shows what the choice costs in the real game."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from agents.sb3.checkpoint_choice import choose, markdown, publish_policy, write_choice
from agents.sb3.run_folder import LOG, LogLine, policy_folder


def test_the_choice_is_by_dreams_and_not_by_the_real_game() -> None:
    lines = [
        LogLine(1, dream=3.0, real=-9.0),
        LogLine(2, dream=5.0, real=-5.0),
        LogLine(3, dream=5.0, real=-7.0),
        LogLine(4, real=21.0),
    ]
    choice = choose(lines)
    assert choice.chosen.steps == 3 and choice.best_in_real == lines[3]
    with pytest.raises(ValueError, match="eval-every"):
        choose(lines[3:])


def test_one_lucky_evaluation_is_not_enough_to_be_chosen() -> None:
    lines = [LogLine(steps, dream=points) for steps, points in enumerate((0.0, 6.0, 1.0, 4.0, 5.0, 4.5))]
    assert choose(lines).chosen.steps == 5
    assert choose(lines[::-1]).chosen.steps == 5


def test_the_report_shows_what_the_choice_costs(tmp_path: Path) -> None:
    lines = [
        LogLine(steps, dream, dream, 0.1, real, real)
        for steps, dream, real in ((100, 1.0, 1.0), (200, 2.0, 4.0), (300, 3.0, -2.0))
    ]
    (tmp_path / LOG).write_text("".join(json.dumps(line.to_json()) + "\n" for line in lines))
    choice = write_choice(tmp_path)
    assert choice.chosen.steps == 300 and choice.best_in_real == lines[1] and choice.regret == 6.0
    assert choice.correlation == pytest.approx(np.corrcoef([1, 2, 3], [1, 4, -2])[0, 1])
    text = (tmp_path / "dream_vs_real.md").read_text(encoding="utf-8")
    assert text == markdown(choice) and "6.00 more" in text
    assert json.loads((tmp_path / "dream_vs_real.json").read_text())["regret"] == 6.0
    assert (tmp_path / "dream_vs_real.png").stat().st_size > 0


def test_without_real_games_there_is_no_regret_and_no_correlation() -> None:
    choice = choose([LogLine(1, dream=3.0), LogLine(2, dream=4.0)])
    assert choice.best_in_real is choice.regret is choice.correlation is None
    assert "real game it earns" not in markdown(choice)


def test_constant_scores_have_no_correlation() -> None:
    assert choose([LogLine(steps, dream=1.0, real=2.0) for steps in range(4)]).correlation is None


def test_the_published_policy_is_the_one_chosen_and_nothing_else(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "policy" / "foreign").write_text("of an earlier choice")
    target = publish_policy(copy)
    chosen = policy_folder(copy, write_choice(copy).chosen.steps)
    assert {p.name: p.read_bytes() for p in target.iterdir()} == {p.name: p.read_bytes() for p in chosen.iterdir()}


def test_a_line_that_is_no_log_is_refused_with_its_file(tmp_path: Path) -> None:
    good = json.dumps(dataclasses.asdict(LogLine(1, dream=1.0)))
    for bad in ("{", '{"steps": "1"}', '{"points": 1}', "[]"):
        (tmp_path / LOG).write_text(f"{good}\n{bad}\n")
        with pytest.raises(ValueError, match=r"log\.jsonl: expected"):
            write_choice(tmp_path)
    with pytest.raises(ValueError, match=r"log\.jsonl: missing"):
        write_choice(tmp_path / "nothing")
