"""Shards of a learner's recording: one tenth each, whole after any kill, and no step counted twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.sb3.recorded_games import RecordedGames
from agents.sb3.recorded_shards import FOLDER, PROGRESS, Budget, Shards
from genie_env.config import SourceConfig
from genie_env.data.episodes import EpisodeStore, EpisodeWriter
from genie_env.files.atomic import write_json
from genie_env.games.registry import Game
from genie_env.games.source_game import make_source_game
from tests.helpers.kills import kills
from tests.helpers.tiny_game import ENV_ID

SOURCE = SourceConfig(ENV_ID, env_kwargs={"points": 1}, image_size=8)


def play(folder: Path, budget: Budget, most_shards: int = 10**6) -> Shards:
    """Play at random to the end of the budget, or until so many shards are there."""
    writer = EpisodeWriter(folder, SOURCE)
    (writer.partial / FOLDER).mkdir(exist_ok=True)
    shards = Shards(writer, budget)
    games = RecordedGames([make_source_game(SOURCE) for _ in range(2)], Game(SOURCE), np.random.default_rng(0))
    games.reset()
    while not shards.done and len(shards.lines) < most_shards:
        games.players = [f"learner_{shards.part}"] * 2
        games.step(np.zeros(2, dtype=int))
        if shards.due(games):
            shards.close(games, {"shard": float(len(shards.lines))})
    return shards


def steps_by_player(store: EpisodeStore) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in store.manifest.episodes:
        found[entry.player] = found.get(entry.player, 0) + entry.length - 1
    return found


@pytest.mark.parametrize(("steps", "shard_steps", "shards"), [(200, 1000, 10), (200, 10, 20), (200, 8, 30)])
def test_every_tenth_has_its_steps_and_shards_are_no_larger_than_asked(
    tmp_path: Path, steps: int, shard_steps: int, shards: int
) -> None:
    played = play(tmp_path / "data", Budget(steps, shard_steps))
    assert len(played.lines) == shards
    store = played.finish()
    assert steps_by_player(store) == {f"learner_{tenth}": 20 for tenth in range(10)}
    for shard in range(shards):
        rows = [entry.length - 1 for entry in store.manifest.episodes if entry.shard == shard]
        assert sum(rows) <= shard_steps


def test_play_that_does_not_change_on_its_way_is_cut_only_where_a_shard_is_full(tmp_path: Path) -> None:
    assert [line.steps for line in play(tmp_path / "data", Budget(200, 90, parts=1)).lines] == [90, 180, 200]


def test_a_kill_at_any_moment_leaves_finished_shards_and_no_half_recording(tmp_path: Path) -> None:
    folder, budget = tmp_path / "data", Budget(20, 100)
    before = 0
    for step in kills(lambda: play(folder, budget).finish(), ("replace", "rename", "unlink")):
        assert step < 1000
        if folder.exists():
            break
        found = Shards(EpisodeWriter(folder, SOURCE), budget)
        assert before <= len(found.lines) <= 10 and found.steps == 2 * len(found.lines)
        before = len(found.lines)
    store = EpisodeStore(folder)
    assert steps_by_player(store) == {f"learner_{tenth}": 2 for tenth in range(10)}


def test_a_resume_goes_on_after_the_last_finished_shard_with_what_was_kept(tmp_path: Path) -> None:
    budget = Budget(100, 1000)
    first = play(tmp_path / "data", budget, most_shards=3)
    again = Shards(EpisodeWriter(tmp_path / "data", SOURCE), budget)
    assert (again.steps, again.part, again.lines) == (30, 3, first.lines)
    assert again.lines[-1].kept == {"shard": 2.0} and not again.done
    assert again.progress == 0.3


def test_time_counts_on_after_a_stop_and_ends_the_recording_before_its_steps(tmp_path: Path) -> None:
    budget = Budget(10**9, 10**6, minutes=1.0)
    writer = EpisodeWriter(tmp_path / "data", SOURCE)
    (writer.partial / FOLDER).mkdir()
    shard = play(tmp_path / "one", Budget(10, 10), most_shards=1)
    # As if the shard there had taken half a minute.
    for path in shard._writer.partial.glob("0*"):
        (writer.partial / path.name).write_bytes(path.read_bytes())
    line = {**shard.lines[0].to_json(), "seconds": 30.0}
    write_json(writer.partial / FOLDER / PROGRESS, {"shards": [line]})
    again = Shards(writer, budget)
    assert 0.5 <= again.progress < 1 and again.part >= 5 and not again.done
    assert budget.progress(5, 60.0) == 1.0 and budget.progress(10**9, 1.0) == 1.0


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"steps": 9}, "steps >= 10"),
        ({"shard_steps": 1}, "shard_steps >= 2"),
        ({"minutes": 0.0}, "minutes"),
        ({"minutes": float("nan")}, "minutes"),
    ],
)
def test_budgets_that_are_none_are_refused(budget: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(**{"steps": 100, "shard_steps": 10, **budget})


@pytest.mark.parametrize("content", [None, [], {"shards": []}, {"shards": [{"part": 0}]}])
def test_a_damaged_record_of_progress_is_named(tmp_path: Path, content: object) -> None:
    budget = Budget(100, 10)
    path = play(tmp_path / "data", budget, most_shards=2)._writer.partial / FOLDER / PROGRESS
    path.unlink()
    if content is not None:
        write_json(path, content)
    with pytest.raises(ValueError, match=r"progress\.json"):
        Shards(EpisodeWriter(tmp_path / "data", SOURCE), budget)
