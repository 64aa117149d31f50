"""Recorded actions, rewards, ends and truth belong to their frames; what cannot be recorded is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from genie_env.config import SourceConfig
from genie_env.games.registry import Game
from tests.helpers import tiny_game
from tests.helpers.tiny_game import ENV_ID, SIZE, TinyPong
from training.data import agent_players
from training.record import RecordConfig, record


def test_recorded_actions_rewards_and_ends_belong_to_the_transition_after_their_frame(tmp_path: Path) -> None:
    recorded = record(
        RecordConfig(
            tmp_path / "data",
            ENV_ID,
            steps=600,
            env_kwargs='{"points": 1}',
            module="tests.helpers.tiny_game",
            workers=1,
        )
    )
    ends = 0
    for entry, rows in recorded.episodes("train"):
        paddle = (rows["frames"][:, :, tiny_game.OWN_LEFT] == tiny_game.OWN_COLOUR).all(-1).argmax(1)
        moves = np.array([0, -2, 2])[rows["actions"][:-1]]
        assert np.array_equal(paddle[1:], np.clip(paddle[:-1] + moves, 0, tiny_game.LOWEST_PADDLE))
        ball = (rows["frames"] == tiny_game.BALL_COLOUR).all(-1).any((1, 2))
        # With one point to play for, the ball is lost, rewarded and final in one and the same transition.
        lost = np.flatnonzero(ball[:-1] & ~ball[1:])
        assert np.array_equal(np.flatnonzero(rows["rewards"]), lost)
        assert np.array_equal(np.flatnonzero(rows["terminated"]), lost)
        assert entry.terminated == (len(lost) == 1)
        ends += len(lost)
    assert ends > 3


class Blind(gym.Env[np.ndarray, np.int64]):
    """A game without a picture: numbers are all one sees."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}
    observation_space = gym.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gym.spaces.Discrete(2)
    render_mode = None


class Unlisted(TinyPong):
    """A game whose actions cannot be listed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)


class Wheel(TinyPong):
    """A game steered by a number from -1, up, to 1, down."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.action_space, box = gym.spaces.Discrete(3), self.action_space
        result = super().step(np.int64(float(action[0]) % 3))
        self.action_space = box
        return result


def test_continuous_actions_are_recorded_as_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gym.registry, "Wheel-v0", gym.envs.registration.EnvSpec("Wheel-v0", entry_point=Wheel))
    store = record(RecordConfig(tmp_path / "data", "Wheel-v0", steps=60, workers=1, players='{"random": 1}'))
    actions = np.concatenate([rows["actions"][:-1] for _, rows in store.episodes("train")])
    assert set(actions.tolist()) == {0, 1, 2} and len(store.manifest.source.action_meanings) == 3


@pytest.mark.parametrize(
    ("kind", "message"), [(Blind, "shows no picture.*render modes.*ansi"), (Unlisted, "bounds.*Box")]
)
def test_game_that_cannot_be_recorded_is_refused_with_its_reason(
    tmp_path: Path, kind: type[gym.Env[Any, Any]], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_id = f"{kind.__name__}-v0"
    monkeypatch.setitem(gym.registry, env_id, gym.envs.registration.EnvSpec(env_id, entry_point=kind))
    with pytest.raises(ValueError, match=f"{env_id}.*{message}"):
        record(RecordConfig(tmp_path / "data", env_id, steps=10, workers=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": (0, 65, 0, 64)}, "crop.*64x64"),
        ({"crop": (5, 5, 0, 64)}, "crop"),
        ({"steps": 0}, "steps"),
        ({"shard_steps": 1}, "shard_steps"),
        ({"image_size": 0}, "image_size"),
        ({"frame_skip": 0}, "frame_skip"),
        ({"fps": -1.0}, "fps"),
    ],
)
def test_senseless_recording_is_refused_and_leaves_no_store(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    config = RecordConfig(
        tmp_path / "data", ENV_ID, **{"steps": 10, "workers": 1, "module": "tests.helpers.tiny_game", **fields}
    )
    with pytest.raises(ValueError, match=message):
        record(config)
    assert not (tmp_path / "data").exists()


def test_recording_keeps_the_ground_truth_of_its_frames(tmp_path: Path) -> None:
    names = ("ball_x", "own_y")
    game = Game(SourceConfig(ENV_ID), names, lambda _, info: info["truth"])
    recorded = record(
        RecordConfig(tmp_path / "data", ENV_ID, steps=120, module="tests.helpers.tiny_game", workers=1), game
    )
    column = recorded.truth_column("own_y")
    for _, rows in recorded.episodes("train"):
        assert rows["truth"].shape == (len(rows["frames"]), 2)
        for frame, truth in zip(rows["frames"], rows["truth"], strict=True):
            paddle = np.flatnonzero((frame[:, SIZE - 4] == (92, 186, 92)).all(-1))
            assert paddle.mean() == truth[column]


@pytest.mark.parametrize("field", ["players", "env_kwargs"])
@pytest.mark.parametrize("text", ["{'a': 1}", "[1]", ""])
def test_settings_given_as_json_say_what_they_should_be(field: str, text: str, tmp_path: Path) -> None:
    config = RecordConfig(tmp_path / "data", ENV_ID, module="tests.helpers.tiny_game", **{field: text})
    with pytest.raises(ValueError, match=f"{field}: expected"):
        record(config)
    assert not list(tmp_path.iterdir())


def test_a_learner_is_one_of_the_players_and_a_stopped_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RecordConfig(
        tmp_path / "all",
        env=ENV_ID,
        steps=600,
        players='{"random": 0.5, "learner": 0.5}',
        module="tests.helpers.tiny_game",
        workers=1,
    )
    parts = tmp_path / "all.parts"
    with monkeypatch.context() as stopped:
        stopped.setattr("training.record.record_by_agents", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            record(config)
    first = (parts / "players" / "manifest.json").stat().st_mtime_ns
    with pytest.raises(ValueError, match="other \\['steps'\\]"):
        record(replace(config, steps=700))
    assert (parts / "players" / "manifest.json").stat().st_mtime_ns == first
    store = record(config)
    players = {entry.player.split("_")[0] for entry in store.manifest.episodes}
    assert players == {"random", "learner"}
    assert not parts.exists()
    played = {name: sum(e.length - 1 for e in store.manifest.episodes if e.player.startswith(name)) for name in players}
    assert played["random"] == 300 and 300 <= played["learner"] <= 320
    with pytest.raises(ValueError, match="exists"):
        record(config)


def test_players_that_cannot_play_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RecordConfig(tmp_path / "out", env=ENV_ID, steps=600, module="tests.helpers.tiny_game")
    with pytest.raises(ValueError, match="folder of a policy after 'policy:', got 'nowhere'"):
        record(replace(config, players='{"policy:nowhere": 1}'))
    with pytest.raises(ValueError, match="weight >= 0 for 'learner', got -1"):
        record(replace(config, players='{"learner": -1}'))
    monkeypatch.setattr(agent_players.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"genie-env\[agents\]"):
        record(replace(config, players='{"learner": 1}'))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "players", ['{"learner": 0}', '{"learner": 0.5, "nobody": 0.5}', '{"random": 0, "learner": 0}']
)
def test_a_mixture_with_a_learner_is_checked_whole_before_anything_is_written(tmp_path: Path, players: str) -> None:
    config = RecordConfig(tmp_path / "out", env=ENV_ID, steps=600, module="tests.helpers.tiny_game", players=players)
    with pytest.raises(ValueError, match=r"players: expected"):
        record(config)
    assert not list(tmp_path.iterdir())
