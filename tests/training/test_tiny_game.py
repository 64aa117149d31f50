"""The tiny game keeps its promises: everything the other tests measure rests on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.helpers import tiny_game
from tests.helpers.tiny_game import DOWN, NOOP, UP, TinyPong

Truth = dict[str, float]
Player = Callable[[Truth, np.random.Generator], int]
Step = tuple[np.ndarray, float, Truth]

SPRITES = {
    "ball": (tiny_game.BALL_COLOUR, 4),
    "own": (tiny_game.OWN_COLOUR, 20),
    "opp": (tiny_game.OPP_COLOUR, 20),
}


def random_player(_truth: Truth, rng: np.random.Generator) -> int:
    return int(rng.integers(3))


def follow_player(truth: Truth, _rng: np.random.Generator) -> int:
    offset = truth["ball_y"] - truth["own_y"]
    if np.isnan(offset) or abs(offset) < 2:
        return NOOP
    return UP if offset < 0 else DOWN


def play(seed: int, player: Player = random_player, **options: Any) -> list[Step]:
    """Play one game to its end; the first entry is the reset."""
    env, rng = TinyPong(**options), np.random.default_rng(seed)
    frame, info = env.reset(seed=seed)
    steps: list[Step] = [(frame, 0.0, info["truth"])]
    terminated = False
    while not terminated:
        assert len(steps) < 5_000, "the game does not end"
        frame, reward, terminated, truncated, info = env.step(np.int64(player(info["truth"], rng)))
        assert not truncated
        steps.append((frame, reward, info["truth"]))
    return steps


def test_check_env_passes_without_a_warning() -> None:
    env = gym.make("TinyPong-v0", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


def test_same_seed_and_actions_give_the_same_game() -> None:
    first, second = play(seed=3), play(seed=3)
    assert len(first) == len(second)
    for (frame_a, reward_a, truth_a), (frame_b, reward_b, truth_b) in zip(first, second, strict=True):
        np.testing.assert_array_equal(frame_a, frame_b)
        np.testing.assert_equal(truth_a, truth_b)
        assert reward_a == reward_b


def test_reset_with_a_seed_forgets_the_game_before() -> None:
    env = TinyPong()
    fresh, _ = env.reset(seed=5)
    for _ in range(50):
        env.step(np.int64(DOWN))
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(fresh, again)


def test_different_seeds_serve_differently() -> None:
    serves = {TinyPong().reset(seed=seed)[0].tobytes() for seed in range(20)}
    assert len(serves) > 10


@pytest.mark.parametrize("player", [random_player, follow_player])
def test_truth_is_the_centre_of_each_whole_sprite(player: Player) -> None:
    for frame, _, truth in play(seed=1, player=player):
        painted = 0
        for name, (colour, area) in SPRITES.items():
            rows, columns = np.nonzero((frame == colour).all(axis=2))
            if np.isnan(truth[f"{name}_x"]):
                assert name == "ball"
                assert rows.size == 0
                assert np.isnan(truth["ball_y"])
                continue
            assert rows.size == area, f"{name} is partly hidden"
            assert (columns.mean(), rows.mean()) == (truth[f"{name}_x"], truth[f"{name}_y"])
            painted += area
        background = (frame == tiny_game.BACKGROUND_COLOUR).all(axis=2).sum()
        assert background + painted == frame.shape[0] * frame.shape[1]


@pytest.mark.parametrize("player", [random_player, follow_player])
def test_both_sides_score(player: Player) -> None:
    rewards = [reward for seed in range(5) for _, reward, _ in play(seed, player)]
    assert set(rewards) == {-1.0, 0.0, 1.0}


def test_following_the_ball_beats_playing_at_random() -> None:
    def score(player: Player) -> float:
        return sum(reward for seed in range(10) for _, reward, _ in play(seed, player))

    assert score(follow_player) > score(random_player)


def test_game_ends_when_one_side_has_all_points() -> None:
    for seed in range(5):
        rewards = [reward for _, reward, _ in play(seed, points=3)]
        scores = rewards.count(1.0), rewards.count(-1.0)
        assert max(scores) == 3
        assert min(scores) < 3
        assert rewards[-1] != 0


def test_a_point_is_followed_by_the_serve_delay_without_a_ball() -> None:
    steps = play(seed=2, serve_delay=4)
    absent = [bool(np.isnan(truth["ball_x"])) for _, _, truth in steps]
    points = [t for t, (_, reward, _) in enumerate(steps) if reward]
    assert sum(absent) == 4 * (len(points) - 1) + 1
    for t in points[:-1]:
        assert absent[t - 1 : t + 5] == [False, True, True, True, True, False]


@pytest.mark.parametrize(("action", "rows"), [(NOOP, 0), (UP, -2), (DOWN, 2)])
def test_each_action_moves_the_own_paddle_by_its_rows(action: int, rows: int) -> None:
    env = TinyPong()
    _, info = env.reset(seed=0)
    before = info["truth"]["own_y"]
    for count in range(1, 6):
        *_, info = env.step(np.int64(action))
        assert info["truth"]["own_y"] == before + rows * count


def test_paddle_stops_at_the_edge() -> None:
    env = TinyPong()
    env.reset(seed=0)
    for _ in range(60):
        *_, info = env.step(np.int64(DOWN))
    assert info["truth"]["own_y"] == tiny_game.SIZE - (tiny_game.PADDLE_HEIGHT + 1) / 2


def test_ball_follows_from_two_frames_and_the_paddle_it_touches() -> None:
    """Only serves are random: a world model can in principle predict every other frame exactly."""
    seen: dict[tuple[float, ...], tuple[float, float]] = {}
    repeats = 0
    for seed in range(40):
        truths = [truth for _, _, truth in play(seed)]
        for before, now, after in zip(truths, truths[1:], truths[2:], strict=False):
            if np.isnan(before["ball_x"]) or np.isnan(now["ball_x"]):
                continue
            paddle = {58.5: after["own_y"], 4.5: after["opp_y"]}.get(now["ball_x"], 0.0)
            cause = (before["ball_x"], before["ball_y"], now["ball_x"], now["ball_y"], paddle)
            repeats += cause in seen
            effect = (after["ball_x"], after["ball_y"])
            np.testing.assert_equal(effect, seen.setdefault(cause, effect))
    assert repeats > 1_000


@pytest.mark.parametrize(
    "options", [{"points": 0}, {"max_speed": 0}, {"serve_delay": 0}, {"render_mode": "human"}], ids=str
)
def test_an_argument_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        TinyPong(**options)


@pytest.mark.parametrize("action", [-1, 3])
def test_an_unknown_action_is_refused(action: int) -> None:
    env = TinyPong()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="expected an action"):
        env.step(np.int64(action))
