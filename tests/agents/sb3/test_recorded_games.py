"""Games that record what is played in them: every step once, in aligned rows, under the name of its player."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from agents.sb3 import recorded_games
from agents.sb3.recorded_games import RecordedGames
from genie_env.config import SourceConfig
from genie_env.data.episodes import Episode
from genie_env.frames import to_gray
from genie_env.games.registry import Game
from genie_env.games.source_game import SourceGame, make_source_game
from tests.helpers import tiny_game

SOURCE = SourceConfig(tiny_game.ENV_ID, env_kwargs={"points": 1})
KNOWLEDGE = Game(SOURCE, ("ball_x", "own_y"), lambda game, info: info["truth"])


def make_games(rows: int = 3) -> RecordedGames:
    return RecordedGames([make_source_game(SOURCE) for _ in range(rows)], KNOWLEDGE, np.random.default_rng(0))


def play(games: RecordedGames, steps: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random actions; what was rewarded and what ended, [B] each."""
    rng = np.random.default_rng(seed)
    return [games.step(rng.integers(3, size=games.num_envs))[1:3] for _ in range(steps)]


def paddle(episode: Episode) -> np.ndarray:
    """First row of the player's paddle in every frame."""
    return (episode.frames_THWC[:, :, tiny_game.OWN_LEFT] == tiny_game.OWN_COLOUR).all(-1).argmax(1)


def test_a_recorded_action_moves_its_frame_to_the_next_one() -> None:
    games = make_games()
    games.reset()
    play(games, 120)
    for episode in games.take():
        moves = np.array([0, -2, 2])[episode.actions_T]
        rows = paddle(episode)
        assert np.array_equal(rows[1:], np.clip(rows[:-1] + moves, 0, tiny_game.LOWEST_PADDLE))
        assert np.allclose(episode.truth[:, 1], rows + (tiny_game.PADDLE_HEIGHT - 1) / 2)


def test_every_step_reward_and_end_is_recorded_once_however_often_play_is_cut() -> None:
    games = make_games()
    games.reset()
    recorded, rewards, ends = [], 0.0, 0
    for part in range(5):
        for rewards_B, dones_B in play(games, 30, seed=part):
            rewards, ends = rewards + float(rewards_B.sum()), ends + int(dones_B.sum())
        assert games.steps == 90
        recorded += games.take()
        assert games.steps == 0 and games.take() == []
    assert sum(len(e.actions_T) for e in recorded) == 450
    assert sum(e.rewards_T.sum() for e in recorded) == rewards
    assert sum(e.terminated for e in recorded) == ends > 3
    assert all(len(e.actions_T) for e in recorded)


def test_a_game_that_is_cut_goes_on_with_the_frame_that_it_was_cut_at() -> None:
    games = make_games(1)
    games.reset()
    play(games, 10)
    (first,) = games.take()
    play(games, 5)
    (second,) = games.take()
    assert not first.terminated and np.array_equal(first.frames_THWC[-1], second.frames_THWC[0])
    assert np.array_equal(first.truth[-1], second.truth[0])


def test_an_episode_has_the_name_of_who_played_when_it_ended() -> None:
    games = make_games(2)
    games.reset()
    games.players = ["one", "two"]
    play(games, 5)
    assert [e.player for e in games.take()] == ["one", "two"]
    games.players = ["three", "three"]
    play(games, 5)
    assert {e.player for e in games.take()} == {"three"}


def test_learners_see_what_is_recorded_and_the_last_frame_of_a_game_that_ended() -> None:
    games = make_games(2)
    assert games.observation_space == spaces.Box(0, 255, (64, 64, 1), np.uint8)
    games.reset()
    for _ in range(200):
        observations, _, dones_B, infos = games.step(np.ones(2, dtype=int))
        assert isinstance(observations, np.ndarray) and all(games.observation_space.contains(o) for o in observations)
        if dones_B.any():
            break
    row = int(dones_B.argmax())
    ended = next(e for e in games.take() if e.terminated)
    assert np.array_equal(infos[row]["terminal_observation"], to_gray(ended.frames_THWC[-1]))
    assert not infos[row]["TimeLimit.truncated"]


def test_the_same_generator_gives_the_same_games() -> None:
    def begin(seed: int) -> np.ndarray:
        games = [make_source_game(SOURCE) for _ in range(2)]
        return RecordedGames(games, KNOWLEDGE, np.random.default_rng(seed)).reset()

    assert np.array_equal(begin(0), begin(0)) and not np.array_equal(begin(0), begin(1))


def practising(practice: int, seed: int = 0, rows: int = 4) -> RecordedGames:
    source = SourceConfig("CartPole-v1", image_size=24)
    games = [make_source_game(source) for _ in range(rows)]
    return RecordedGames(games, Game(source), np.random.default_rng(seed), games[0].state_space, None, practice)


def test_most_games_of_practice_are_neither_drawn_nor_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    frame = SourceGame.frame
    monkeypatch.setattr(SourceGame, "frame", lambda self: drawn.append(1) or frame(self))
    games = practising(4)
    observations = games.reset()
    rng, ends = np.random.default_rng(0), 0
    for _ in range(500):
        observations, _, dones_B, infos = games.step(rng.integers(2, size=4))
        assert isinstance(observations, np.ndarray) and observations.shape == (4, 4)
        ends += int(dones_B.sum())
        for row in np.flatnonzero(dones_B):
            assert abs(infos[row]["terminal_observation"][2]) > 0.2 > abs(observations[row][2]), "the pole fell"
    episodes = games.take()
    steps = sum(len(e.actions_T) for e in episodes)
    assert 0.1 < steps / 2000 < 0.35, "a fifth on average"
    assert len(drawn) <= steps + len(episodes) + 4
    assert all(e.terminated for e in episodes[:-4]) and len(episodes) < ends / 2


def test_recorded_frames_of_practice_are_the_games_own() -> None:
    games = practising(1, rows=1)
    games.reset()
    for _ in range(200):
        games.step(np.ones(1, dtype=int))
    for episode in games.take():
        assert len(episode.frames_THWC) == len(episode.actions_T) + 1
        frames_THWC = episode.frames_THWC
        assert len(frames_THWC) < 8 or (frames_THWC[-1] != frames_THWC[0]).any(), "the pole falls"


def test_a_game_without_an_end_is_recorded_sooner_or_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_games, "STRETCH", 5)
    games = practising(1, rows=2)
    monkeypatch.setattr(SourceGame, "play", lambda self, action: (0.0, False, False, {}))
    games.reset()
    for _ in range(60):
        games.step(np.zeros(2, dtype=int))
    episodes = games.take()
    assert 20 < sum(len(e.actions_T) for e in episodes) < 100
    assert all(len(e.actions_T) <= 5 and not e.terminated for e in episodes)


def test_only_players_that_need_no_frames_practise() -> None:
    with pytest.raises(ValueError, match="practice: expected 0 for players that see frames"):
        RecordedGames([make_source_game(SOURCE)], KNOWLEDGE, np.random.default_rng(0), practice=1)


def test_attributes_and_methods_are_those_of_each_game() -> None:
    games = make_games(2)
    games.set_attr("mark", 7, indices=[1])
    assert (
        games.get_attr("mark", [1]) == [7] and games.env_method("get_action_meanings") == [["NOOP", "UP", "DOWN"]] * 2
    )
    with pytest.raises(AttributeError):
        games.get_attr("mark", [0])
    games.close()
