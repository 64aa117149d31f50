"""A perfect observer names what the pictures show, and guesses where they show nothing."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from genie_env.config import SourceConfig
from genie_env.data.episodes import Episode, EpisodeWriter
from tests.helpers.fake_game import FakeGame
from training.latent_action.observer import observer_codes

ENV_ID, SIZE = "WalledDot-v0", 32


class WalledDot(FakeGame):
    """A dot between two walls, whose state can be copied."""

    def clone_state(self) -> int:
        return self.y

    def restore_state(self, state: int) -> None:
        self.y = state


if ENV_ID not in gym.registry:
    gym.register(ENV_ID, entry_point=lambda **_: WalledDot())


def record(folder: Path, actions: list[int], env_id: str = ENV_ID, **changes: Any):
    game = WalledDot()
    frames = [game.reset()[0], *(game.step(np.int64(a))[0] for a in actions)]
    if changes:
        frames[changes["at"]] = np.zeros_like(frames[0])
    source = SourceConfig(env_id, image_size=SIZE, action_meanings=("NOOP", "UP", "DOWN", "JUMP"), effects=(0, 1, 2, 3))
    episode = Episode(np.stack(frames), np.array(actions), np.zeros(len(actions)), False, np.zeros((len(frames), 0)))
    writer = EpisodeWriter(folder, source, (), {})
    writer.write_shard(0, [episode])
    return writer.finish(1)


def test_everything_is_named_where_there_is_room_and_the_likeliest_at_a_wall(tmp_path: Path) -> None:
    # From row 20 down to the lowest, 31, against the wall, and up again.
    actions = [2] * 11 + [2, 2, 0, 2] + [1, 0, 3]
    store = record(tmp_path / "data", actions)
    codes = observer_codes(store, "train")
    assert codes[:11].tolist() == [2] * 11 and codes[15:].tolist() == [1, 0, 3]
    assert codes[11:15].tolist() == [2] * 4, "nothing shows that once no key was held"


def test_waiting_longer_tells_nothing_where_nothing_follows_from_it(tmp_path: Path) -> None:
    store = record(tmp_path / "data", [2] * 14 + [0, 1])
    assert np.array_equal(observer_codes(store, "train"), observer_codes(store, "train", later=3))


def test_a_recording_that_the_game_does_not_replay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"frame 2 .* differs when it is replayed"):
        observer_codes(record(tmp_path / "data", [2, 2, 1], at=2), "train")


def test_a_game_whose_state_cannot_be_copied_is_refused(tmp_path: Path) -> None:
    from tests.helpers.tiny_game import ENV_ID as TINY

    with pytest.raises(ValueError, match="state can be copied"):
        observer_codes(record(tmp_path / "data", [2, 1], TINY), "train")
