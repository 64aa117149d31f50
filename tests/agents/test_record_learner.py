"""A learner in the real game is recorded from beginner to good, and a stop loses no more than one file."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

from agents.record_learner import RecordLearnerConfig, record_learner
from agents.sb3.policy_io import load_policy
from agents.sb3.record_learning import LearnerConfig
from genie_env.command import STOP_SIGNALS, Interrupted
from genie_env.data.description import describe
from genie_env.data.episodes import EpisodeStore
from genie_env.files.atomic import hold_folder
from genie_env.files.tensors import weights_of
from tests.helpers.fake_game import JUMP, FakeGame
from tests.helpers.tiny_game import ENV_ID
from training.join import JoinConfig, join
from training.record import RecordConfig, record

LEARNER = LearnerConfig(n_envs=2, n_steps=8, batch_size=8, n_epochs=1)
CONFIG = RecordLearnerConfig(Path("data"), ENV_ID, steps=200, image_size=24, learner=LEARNER)


class Climb(FakeGame):
    """Every jump is a point."""

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        picture, _, terminated, truncated, info = super().step(action)
        return picture, float(action == JUMP), terminated, truncated, info


@pytest.fixture
def climb() -> Iterator[str]:
    gym.register("Climb-v0", entry_point=f"{__name__}:Climb", kwargs={"length": 25})
    yield "Climb-v0"
    del gym.registry["Climb-v0"]


def config(folder: Path, **changes: Any) -> RecordLearnerConfig:
    return dataclasses.replace(CONFIG, out=folder, **changes)


def steps_by_player(store: EpisodeStore) -> dict[str, int]:
    return {player.player: player.steps for player in describe(store).players}


WHOLE = {f"learner_{tenth}": 20 for tenth in range(10)}


def test_every_tenth_of_the_way_has_its_steps_and_its_policy(tmp_path: Path) -> None:
    store = record_learner(config(tmp_path / "data"))
    assert steps_by_player(store) == WHOLE
    assert store.split("train") and store.split("test")
    policies = sorted((store.folder / "player" / "policies").iterdir())
    assert [path.name for path in policies] == [f"{steps:09d}" for steps in range(20, 201, 20)]
    about = load_policy(policies[-1])[1]
    assert about.trained == {"env": ENV_ID, "steps": 200} and about.image_size == 24
    assert not list(tmp_path.rglob("*.lock*")) and not list(tmp_path.glob("*.partial"))
    assert not [path for path in store.folder.rglob("*") if path.suffix in (".pkl", ".pt", ".zip")]


def test_it_is_configured_as_other_recordings_of_the_game_and_joins_them(tmp_path: Path) -> None:
    theirs = record(RecordConfig(tmp_path / "theirs", ENV_ID, steps=60, image_size=24, workers=1))
    mine = record_learner(config(tmp_path / "mine"))
    assert mine.manifest.source == theirs.manifest.source
    both = join(JoinConfig((mine.folder, theirs.folder), tmp_path / "both"))
    assert steps_by_player(both).keys() > WHOLE.keys()


@pytest.mark.parametrize("signum", STOP_SIGNALS)
def test_a_stopped_recording_goes_on_with_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int
) -> None:
    update, updates = PPO.train, []

    def interrupted(self: PPO) -> None:
        update(self)
        updates.append(self.num_timesteps)
        if len(updates) == 4:
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(PPO, "train", interrupted)
    with pytest.raises(Interrupted, match="run the same command to go on") as stopped:
        record_learner(config(tmp_path / "data"))
    assert stopped.value.signum == signum and updates == [16, 32, 48, 64]
    assert not (tmp_path / "data").exists()
    # Three tenths of 20 steps each were finished.
    store = record_learner(config(tmp_path / "data"))
    assert updates[4] == 60 + 16
    assert steps_by_player(store) == WHOLE
    assert len(list((store.folder / "player" / "policies").iterdir())) == 10


def test_a_resume_learns_from_the_checkpoint_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn, weights = PPO.learn, []

    def spy(self: PPO, *args: Any, **kwargs: Any) -> PPO:
        weights.append(weights_of(self.policy)["action_net.weight"].clone())
        if len(weights) == 2:
            assert self.policy.optimizer.state_dict()["state"], "the optimizer's moments came back"
            assert not weights[0].equal(weights[1])
        return learn(self, *args, **kwargs)

    monkeypatch.setattr(PPO, "learn", spy)
    monkeypatch.setattr(PPO, "train", _stopping(PPO.train, 4))
    with pytest.raises(Interrupted):
        record_learner(config(tmp_path / "data"))
    record_learner(config(tmp_path / "data"))
    assert len(weights) == 2


def _stopping(update: Any, at: int) -> Any:
    count = 0

    def train(self: PPO) -> None:
        nonlocal count
        count += 1
        update(self)
        if count == at:
            os.kill(os.getpid(), signal.SIGTERM)

    return train


def test_a_learner_gets_better_at_a_game_that_can_be_learned(tmp_path: Path, climb: str) -> None:
    learner = LearnerConfig(n_envs=4, n_steps=25, batch_size=50, n_epochs=4, learning_rate=2e-3, explore=0.2)
    store = record_learner(RecordLearnerConfig(tmp_path / "data", climb, steps=4000, learner=learner))
    by_name = {player.player: player.returns_per_1000.value for player in describe(store).players}
    assert by_name["learner_9"] > 800 > 500 > by_name["learner_0"], "jumps in a thousand steps"


def test_a_game_that_tells_its_state_is_learned_from_that_undrawn(tmp_path: Path) -> None:
    learner = LearnerConfig(n_envs=4, n_steps=64, batch_size=64, n_epochs=4, learning_rate=2e-3, explore=0.1)
    store = record_learner(
        RecordLearnerConfig(tmp_path / "data", "CartPole-v1", steps=1500, image_size=24, learner=learner)
    )
    lengths = {player.player: player.length.value for player in describe(store).players}
    assert lengths["learner_9"] > 2 * lengths["learner_0"]
    assert not (store.folder / "player" / "policies").exists(), "no dream shows a policy what this one sees"


def test_a_state_learner_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = RecordLearnerConfig(tmp_path / "data", "CartPole-v1", steps=200, image_size=24, learner=LEARNER)
    monkeypatch.setattr(PPO, "train", _stopping(PPO.train, 60))
    with pytest.raises(Interrupted):
        record_learner(asked)
    learn, counts = PPO.learn, []

    def spy(self: PPO, *args: Any, **kwargs: Any) -> PPO:
        counts.append(float(weights_of(self.policy)["features_extractor.count"]))
        return learn(self, *args, **kwargs)

    monkeypatch.setattr(PPO, "learn", spy)
    store = record_learner(asked)
    assert counts[0] > 0, "the scale of the state came back"
    assert sum(steps_by_player(store).values()) >= 200


def test_a_game_that_shows_pictures_only_has_no_state(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sees: expected frames"):
        record_learner(config(tmp_path / "data", learner=dataclasses.replace(LEARNER, sees="state")))


def test_the_same_seed_records_the_same_and_another_one_something_else(tmp_path: Path) -> None:
    def frames(folder: str, **changes: Any) -> list[bytes]:
        store = record_learner(config(tmp_path / folder, steps=40, **changes))
        return [store.array("actions", entry).tobytes() for entry in store.manifest.episodes]

    assert frames("a") == frames("b") != frames("c", seed=1)


def test_a_policy_plays_at_several_temperatures_and_learns_nothing(tmp_path: Path) -> None:
    learned = record_learner(config(tmp_path / "data", steps=40))
    policy = learned.folder / "player" / "policies" / "000000040"
    before = (policy / "policy.safetensors").read_bytes()
    store = record_learner(config(tmp_path / "policy", policy=policy, steps=600, env_kwargs='{"points": 1}'))
    assert set(steps_by_player(store)) == {"policy_t0.5", "policy_t1", "policy_t2"}
    assert sum(steps_by_player(store).values()) == 600
    assert (policy / "policy.safetensors").read_bytes() == before


def test_minutes_end_a_recording_early_with_all_tenths(tmp_path: Path) -> None:
    store = record_learner(config(tmp_path / "data", steps=10**7, minutes=0.05))
    assert set(steps_by_player(store)) <= set(WHOLE) and "learner_9" in steps_by_player(store)
    assert sum(steps_by_player(store).values()) < 10**6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5}, "steps >= 10"),
        ({"image_size": 16}, "image_size: expected at least 20"),
        ({"temperatures": ()}, "temperatures"),
        ({"temperatures": (0.0,)}, "temperatures"),
        ({"policy": Path("missing")}, r"missing/policy\.json"),
        ({"env_kwargs": "["}, "env_kwargs"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        record_learner(config(tmp_path / "data", **changes))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_other_settings_and_a_finished_recording_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold_folder(tmp_path / "data.partial" / "player"), pytest.raises(ValueError, match="in use by process"):
        record_learner(config(tmp_path / "data"))
    with pytest.raises(ValueError, match="other settings"):
        record_learner(config(tmp_path / "data", seed=1))
    record_learner(config(tmp_path / "data"))
    with pytest.raises(ValueError, match="exists already"):
        record_learner(config(tmp_path / "data"))
