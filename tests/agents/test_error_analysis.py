"""What keeps a policy from winning: each experiment finds the fault that was planted, and none where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.error_analysis import GONE, ErrorAnalysisConfig, PlayRecord, analyse_errors, ball_exits, markdown
from agents.sb3.policy_io import build_policy, save_policy
from genie_env.bundle import read_config
from genie_env.policies.config import policy_config
from genie_env.policies.spec import make_policy_spec

WIDTH = 64
NO_BALL = [np.nan] * GONE


def played(ball_x: list[float], restarted: int | None = None) -> PlayRecord:
    """One row of play in which no point is given."""
    restarted_TR = np.zeros((len(ball_x), 1), dtype=bool)
    if restarted is not None:
        restarted_TR[restarted] = True
    return PlayRecord(np.zeros((len(ball_x), 1)), np.array(ball_x)[:, None], restarted_TR)


@pytest.mark.parametrize(
    ("ball_x", "side"),
    [
        ([9.0, 5.0, 1.5, *NO_BALL], "won_R"),
        ([54.0, 58.0, 62.0, *NO_BALL], "lost_R"),
        ([20.0, 30.0, *NO_BALL], "vanished_R"),
    ],
)
def test_a_ball_out_of_sight_counts_by_where_it_was_last(ball_x: list[float], side: str) -> None:
    seen = ball_exits(played([*ball_x, np.nan, np.nan, 32.0]), WIDTH)._asdict()
    # Once, however long it stays away.
    assert {name: round(float(rate[0] * (len(ball_x) + 3) / 1000)) for name, rate in seen.items()} == {
        name: int(name == side) for name in seen
    }


def test_a_blink_is_no_exit() -> None:
    seen = ball_exits(played([30.0, *[np.nan] * (GONE - 1), 33.0, 34.0]), WIDTH)
    assert not np.any(seen)


def test_a_new_episode_ends_what_the_old_one_began() -> None:
    cut_off = ball_exits(played([30.0, 31.0, 32.0, 33.0], restarted=2), WIDTH)
    assert not np.any(cut_off)
    # The point that ended the game left no time to miss the ball.
    ended = ball_exits(played([9.0, 3.0, 30.0, 31.0], restarted=2), WIDTH)
    assert float(ended.won_R[0]) == 1000 / 4 and not ended.vanished_R.any()


def test_rows_are_counted_apart() -> None:
    ball_x_TR = np.array([[5.0, 30.0], *[[np.nan, 31.0]] * GONE])
    seen = ball_exits(PlayRecord(np.zeros(ball_x_TR.shape), ball_x_TR, np.zeros(ball_x_TR.shape, dtype=bool)), WIDTH)
    np.testing.assert_array_equal(seen.won_R > 0, [True, False])


def test_all_experiments_run_and_a_policy_does_not_differ_from_itself(random_world: Path, tmp_path: Path) -> None:
    config = read_config(random_world)
    about = policy_config(config, str(random_world), "ppo", "tokens", make_policy_spec(config, "tokens", "real"))
    save_policy(tmp_path / "policy", build_policy(about), about)
    found = analyse_errors(
        ErrorAnalysisConfig(
            tmp_path / "policy", tmp_path / "policy", out=tmp_path / "out", rows=2, steps=30, device="cpu"
        )
    )
    by_suspect = {finding.suspect: finding for finding in found}
    assert set(by_suspect) == {"all", "sampling", "action map", "learner", "world"}
    assert by_suspect["learner"].found.value == 0
    assert (tmp_path / "out" / "error_analysis.md").read_text(encoding="utf-8") == markdown(found)
    stored = json.loads((tmp_path / "out" / "error_analysis.json").read_text())
    assert stored == json.loads(json.dumps([finding.row() for finding in found]))


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="rows: expected a whole number >= 1, got 0"):
        ErrorAnalysisConfig(Path("nowhere"), rows=0)
