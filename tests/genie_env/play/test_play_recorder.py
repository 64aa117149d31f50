"""What a person plays becomes a recording: whole or absent, aligned, and good for training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genie_env.data.episodes import NO_ACTION, EpisodeStore
from genie_env.play import play_recorder
from genie_env.play.loop import PlaySession
from genie_env.play.play_recorder import PlayRecorder
from genie_env.window.keyboard import Command
from tests.helpers.fake_game import DOWN, UP, FakeGame, picture
from tests.helpers.paths import ROOT
from tests.helpers.worlds import LATENT_TO_REAL, TELLING_CHANGES, random_config
from training.data.dataset import FrameDataset, effect_labels

CONFIG = random_config()


def frame(number: int) -> np.ndarray:
    # As large as the pictures of FakeGame.
    return np.full((32, 32, 3), number, np.uint8)


def played(folder: Path, lengths: list[int], **options: Any) -> EpisodeStore:
    """A recording of games of these lengths, every one to its end, each frame showing its number."""
    recorder = PlayRecorder(folder, CONFIG, **options)
    for length in lengths:
        recorder.begin(frame(0))
        for step in range(length):
            recorder.add(step % 3, frame(step + 1), float(step), step + 1 == length)
    store = recorder.close()
    assert store is not None
    return store


def rows(store: EpisodeStore, index: int) -> dict[str, np.ndarray]:
    entry = store.manifest.episodes[index]
    return {name: store.array(name, entry) for name in ("frames", "actions", "rewards", "terminated")}


def test_recording_holds_what_was_played(tmp_path: Path) -> None:
    store = played(tmp_path / "data", [4, 30])
    first = rows(store, 0)
    assert first["frames"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert first["actions"].tolist() == [0, 1, 2, 0, NO_ACTION]
    assert first["rewards"].tolist() == [0, 1, 2, 3, 0] and first["terminated"].tolist() == [0, 0, 0, 1, 0]
    assert {entry.player for entry in store.manifest.episodes} == {"human"}
    assert store.manifest.source == CONFIG.source and store.manifest.settings["world"] == CONFIG.name


@pytest.mark.parametrize("lengths", [[2], [40], [5, 7], [3, 100, 4], [6] * 9, [4] * 25])
def test_however_few_the_games_some_are_for_training_and_some_for_testing(tmp_path: Path, lengths: list[int]) -> None:
    store = played(tmp_path / "data", lengths)
    assert sum(entry.length - 1 for entry in store.manifest.episodes) == sum(lengths)
    train, test = FrameDataset(store, "train"), FrameDataset(store, "test")
    assert len(train) + len(test) == sum(lengths) and len(train) >= len(test)
    batch = train.transitions(np.random.default_rng(0), 4, context=2)
    assert effect_labels(store, batch.actions_B).shape == (4,)
    # The game ended once in every game, cut or not.
    assert sum(entry.terminated for entry in store.manifest.episodes) == len(lengths)


def test_single_game_is_cut_into_parts_that_share_a_frame(tmp_path: Path) -> None:
    store = played(tmp_path / "data", [20])
    assert [(e.length, e.split, e.terminated) for e in store.manifest.episodes] == [
        (19, "train", False),
        (3, "test", True),
    ]
    assert np.array_equal(rows(store, 0)["frames"][-1], rows(store, 1)["frames"][0])


def test_long_game_is_cut_into_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_recorder, "PIECE_STEPS", 10)
    store = played(tmp_path / "data", [35])
    assert [entry.length - 1 for entry in store.manifest.episodes] == [10, 10, 10, 5]
    assert [entry.terminated for entry in store.manifest.episodes] == [False, False, False, True]
    seen = [int(rows(store, i)["frames"][0, 0, 0, 0]) for i in range(4)]
    assert seen == [0, 10, 20, 30]


def test_latent_actions_are_kept_as_the_real_ones_they_stand_for(tmp_path: Path) -> None:
    store = played(tmp_path / "data", [3], action_type="latent")
    actions = np.concatenate([rows(store, i)["actions"][:-1] for i in range(2)])
    assert tuple(actions) == LATENT_TO_REAL
    changes = PlayRecorder(tmp_path / "changes", random_config(action_map=TELLING_CHANGES), "latent")
    changes.begin(frame(0))
    for i, change in enumerate((1, 0, 1, 2)):
        changes.add(change, frame(i + 1), 0.0, False)
    store = changes.close()
    assert store is not None
    assert np.concatenate([rows(store, i)["actions"][:-1] for i in range(2)]).tolist() == [1, 1, 2, 1]
    nameless = PlayRecorder(tmp_path / "other", random_config(action_map=None), "latent")
    nameless.begin(frame(0))
    nameless.add(2, frame(1), 0.0, False)
    nameless.add(1, frame(2), 0.0, False)
    other = nameless.close()
    assert other is not None
    assert other.manifest.source.action_meanings == ("LATENT_0", "LATENT_1", "LATENT_2")
    assert rows(other, 0)["actions"].tolist() == [2, NO_ACTION]


def test_session_records_its_steps_and_a_way_back_begins_a_new_episode(tmp_path: Path) -> None:
    recorder = PlayRecorder(tmp_path / "data", CONFIG)
    session = PlaySession(FakeGame(length=9), tmp_path, fps=30, recorder=recorder)
    session.held.press("up")
    for _ in range(4):
        session.tick()
    session.run(Command.SNAPSHOT)
    session.held.clear()
    session.held.press("down")
    for _ in range(3):
        session.tick()
    session.run(Command.RESTORE)
    for _ in range(5):  # To the end of the game.
        session.tick()
    session.run(Command.RESET)
    session.close()
    store = recorder.close()
    assert store is not None
    told = [rows(store, i) for i in range(len(store.manifest.episodes))]
    assert [r["actions"].tolist() for r in told] == [
        [UP] * 4 + [DOWN] * 3 + [NO_ACTION],
        [DOWN] * 5 + [NO_ACTION],
    ]
    assert np.array_equal(told[0]["frames"][4], told[1]["frames"][0])
    assert np.array_equal(told[0]["frames"][0], picture(20))
    assert [e.terminated for e in store.manifest.episodes] == [False, True]


def test_nothing_played_leaves_no_folder(tmp_path: Path) -> None:
    recorder = PlayRecorder(tmp_path / "data", CONFIG)
    recorder.begin(frame(0))
    recorder.begin(frame(1))
    assert recorder.close() is None and list(tmp_path.iterdir()) == []


def test_existing_folder_and_another_worlds_rest_are_refused(tmp_path: Path) -> None:
    played(tmp_path / "data", [3])
    with pytest.raises(ValueError, match="exists already"):
        PlayRecorder(tmp_path / "data", CONFIG)
    PlayRecorder(tmp_path / "rest", CONFIG)
    with pytest.raises(ValueError, match="other settings"):
        PlayRecorder(tmp_path / "rest", random_config(name="another"))


PLAY_UNTIL_KILLED = """
import sys, time
from genie_env.play import play_recorder
from genie_env.window.keyboard import Command
from genie_env.play.loop import PlaySession
from tests.helpers.fake_game import FakeGame
from tests.helpers.worlds import random_config

play_recorder.PIECE_STEPS = 10
recorder = play_recorder.PlayRecorder(sys.argv[1], random_config())
session = PlaySession(FakeGame(), sys.argv[1], fps=30, recorder=recorder)
for _ in range(35):
    session.tick()
print("played", flush=True)
time.sleep(60)
"""


def test_killed_recording_is_absent_and_the_next_one_goes_on_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    player = subprocess.Popen(
        [sys.executable, "-c", PLAY_UNTIL_KILLED, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert player.stdout is not None and player.stdout.readline() == "played\n"
    os.kill(player.pid, signal.SIGKILL)
    player.wait()
    player.stdout.close()
    assert not folder.exists()
    with pytest.raises(ValueError, match=r"manifest\.json"):
        EpisodeStore(folder)
    store = played(folder, [7])
    # Three pieces were finished; the last of them waited for its successor.
    assert [entry.length - 1 for entry in store.manifest.episodes] == [10, 10, 7]
    assert not (tmp_path / "data.partial").exists()
