"""Free play is counted exactly where the answer is known, and the real game is perfect by every measure."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from genie_env.games.registry import Game
from genie_env.games.sprites import find_sprites
from genie_env.measurement import WORLD, Metric, Subset, pick, select
from tests.helpers import tiny_game
from tests.helpers.held_out import COLOURS, TINY
from tests.helpers.pictures import empty
from tests.helpers.tiny_game import TinyPong
from training.evaluation.free_play import (
    REAL,
    WORLD_OVER_REAL,
    FreePlay,
    held_actions,
    histogram_distances,
    measure_free_play,
    measure_play,
    obedience,
    play,
    play_beams,
    play_dream,
    play_real,
    reach_of,
)
from training.evaluation.held_out import HeldOutPlay

REACH = {"own_y": (4.5, 58.5)}


@pytest.fixture(scope="module")
def real_play() -> FreePlay:
    return play_real(TINY.source, rows=3, steps=120, seed=0, effects=TINY.source.effects)


def paddle_play(moves: np.ndarray, effects: np.ndarray) -> FreePlay:
    """One row whose own paddle starts in the middle and moves by ``moves`` rows a step."""
    frames = empty(1, len(moves) + 1)
    tops = 30 + np.concatenate([[0], np.cumsum(moves)])
    for t, top in enumerate(tops):
        frames[0, t, top : top + tiny_game.PADDLE_HEIGHT, 60:62] = tiny_game.OWN_COLOUR
    no = np.zeros((1, len(moves)), bool)
    return FreePlay(frames, effects[None], no.astype(float), no)


def test_policy_holds_each_action_for_up_to_eight_steps() -> None:
    actions_TB = held_actions(np.random.default_rng(0), 4000, 2, 50)
    assert actions_TB.shape == (4000, 2)
    changes = np.flatnonzero(np.diff(actions_TB[:, 0]))
    # With fifty actions neighbours rarely agree by chance: 4.5 steps is the mean of one to eight.
    assert np.diff(changes).mean() == pytest.approx(4.5, abs=0.35)
    assert len(np.unique(actions_TB)) == 50


def test_scripted_paddle_obeys_always_and_a_frozen_one_never() -> None:
    effects = np.array([0, 1, 1, 1, 2, 2, 2, 0, 0, 2, 1, 2, 2])
    moves = np.array([0, -1, 1])[effects]
    obeying = measure_play(paddle_play(moves, effects), TINY, REACH)
    # The command has been held in steps 2, 3, 5, 6 and 12.
    assert pick(obeying, Metric.OBEYS).value == 1.0
    assert pick(obeying, Metric.LONGEST_STILL, subset=Subset.WORST_ROW).value == 2
    frozen = measure_play(paddle_play(0 * moves, effects), TINY, REACH)
    assert pick(frozen, Metric.OBEYS).value == 0.0
    assert pick(frozen, Metric.LONGEST_STILL, subset=Subset.WORST_ROW).value == len(moves)
    contrary = measure_play(paddle_play(-moves, effects), TINY, REACH)
    assert pick(contrary, Metric.OBEYS).value == 0.0


def test_nothing_is_asked_without_room_or_across_a_new_beginning() -> None:
    effects = np.array([1, 1, 1, 1])
    still = paddle_play(np.zeros(4, int), effects)
    assert np.isnan(pick(measure_play(still, TINY, {"own_y": (32.0, 58.5)}), Metric.OBEYS).value)
    # A cut at step 1 leaves only step 3: step 1 itself is none, and step 2 has no past.
    cut = np.array([[False, True, False, False]])
    _, asked = obedience(np.full((1, 5), 30.0), effects[None], cut, {1: -1}, REACH["own_y"])
    assert asked.tolist() == [1]


def test_vanished_paddle_does_not_obey() -> None:
    effects = np.array([1, 1, 1])
    gone = paddle_play(np.array([-1, -1, -1]), effects)
    gone.frames_BTHWC[:, 2:] = empty(1, 2)
    assert pick(measure_play(gone, TINY, REACH), Metric.OBEYS).value == 0.0


def test_real_game_is_perfect_by_every_measure(real_play: FreePlay) -> None:
    assert real_play.frames_BTHWC.shape == (3, 121, 64, 64, 3)
    found = measure_play(real_play, TINY, REACH)
    for metric, sprite in ((Metric.PRESENT, "own"), (Metric.PRESENT, "opp")):
        assert pick(found, metric, sprite=sprite).value == 1.0, sprite
    assert all(one.value == 1.0 for one in select(found, metric=Metric.EXACTLY_ONE))
    assert pick(found, Metric.OBEYS).value == 1.0
    assert 0 < pick(found, Metric.PRESENT, sprite="ball").value < 1
    assert pick(found, Metric.LONGEST_STILL, subset="").value < 30


def test_points_and_cuts_are_those_of_the_game() -> None:
    envs = gym.vector.SyncVectorEnv([lambda: TinyPong(points=1)] * 2, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    played = play(envs, 300, seed=1, effects=None)
    # With one point to win every point ends the game, and the next frame shows a fresh serve.
    np.testing.assert_array_equal(played.rewards_BT != 0, played.cut_BT)
    assert played.cut_BT.any()
    balls = find_sprites(played.frames_BTHWC, COLOURS).of("ball")
    assert balls.all()
    found = measure_play(played, TINY, REACH)
    points = pick(found, Metric.POINTS_WON).value + pick(found, Metric.POINTS_LOST).value
    assert points == pytest.approx(1000 * played.cut_BT.mean())
    assert not select(found, metric=Metric.OBEYS)


def test_dreams_that_loop_are_counted_and_those_that_merely_wait_are_not() -> None:
    steps = np.arange(121)
    shown = np.stack([steps, np.where(steps < 50, steps, 50 + steps % 3), np.minimum(steps, 70)])
    frames = empty(3, len(steps))
    frames[..., 0] = shown[..., None, None]
    no = np.zeros((3, len(steps) - 1), bool)
    found = measure_play(FreePlay(frames, None, no.astype(float), no), Game(TINY.source), {})
    # The first never repeats, the second goes round three pictures for 71 steps, the third stands still for 50.
    assert pick(found, Metric.REPEATING_ROWS).value == pytest.approx(1 / 3)
    assert pick(found, Metric.LONGEST_REPEAT).value == 68
    assert pick(found, Metric.LONGEST_STILL, subset=Subset.WORST_ROW).value == 50


def test_dream_is_as_far_from_real_play_as_its_tokens_are() -> None:
    rng = np.random.default_rng(0)
    real, dream = rng.integers(2, size=(4, 200, 5)), rng.integers(2, size=(4, 200, 5))
    frozen = np.broadcast_to(dream[:, :1] + 2, dream.shape)
    recorded = real.reshape(-1, 5)
    found = histogram_distances({"dream": dream, "frozen": frozen, REAL: real}, 4, recorded)
    assert found[REAL].value == pytest.approx(found["dream"].value, abs=0.02)
    assert found["frozen"].value == 1.0
    alone = histogram_distances({"dream": dream}, 4, recorded)
    assert alone["dream"].value == pytest.approx(found["dream"].value, abs=0.02)


def test_reach_is_that_of_the_frames_and_empty_without_sprites() -> None:
    frames = empty(2)
    for frame, top in zip(frames, (0, 54), strict=True):
        frame[top : top + 10, 60:62] = tiny_game.OWN_COLOUR
    assert reach_of(frames, TINY) == {"own_y": (4.5, 58.5)}
    assert reach_of(frames, Game(TINY.source)) == {}


def test_shares_and_rates_stand_beside_the_real_games(held_out: HeldOutPlay, real_play: FreePlay) -> None:
    half = real_play.first(60)
    found = measure_free_play({WORLD: half, REAL: real_play}, held_out, REACH)
    for metric, fields in ((Metric.PRESENT, {"sprite": "ball"}), (Metric.POINTS, {})):
        ours, real, over = (pick(found, metric, source=s, **fields) for s in (WORLD, REAL, WORLD_OVER_REAL))
        assert over.value == pytest.approx(ours.value / real.value)
    assert not select(found, source=WORLD_OVER_REAL, metric=Metric.OBEYS)
    assert not select(measure_free_play({WORLD: half}, held_out, REACH), source=WORLD_OVER_REAL)


def test_free_play_of_a_beam_of_one_is_greedy_play(endless_world: Path) -> None:
    """Horizons are joined without a seam: memory, starts and actions are those of an environment."""
    greedy = play_dream(str(endless_world), 3, 17, 5, None, temperature=0.0, runtime="torch")
    searched = play_beams(str(endless_world), 3, 17, 5, beam=1, horizon=4)
    assert np.array_equal(greedy.frames_BTHWC, searched.frames_BTHWC)
    assert np.array_equal(greedy.rewards_BT, searched.rewards_BT) and not searched.cut_BT.any()


def test_rows_whose_game_ended_begin_anew(random_world: Path) -> None:
    play = play_beams(str(random_world), 4, 60, 0, beam=2, horizon=6)
    assert play.frames_BTHWC.shape[:2] == (4, 61) and play.rewards_BT.shape == play.cut_BT.shape == (4, 60)
    cut_BT = play.cut_BT
    assert cut_BT.any() and not cut_BT[:, [t for t in range(60) if t % 6 != 5]].any()
