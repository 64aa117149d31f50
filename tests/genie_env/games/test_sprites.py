"""Sprites are found where they are, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from genie_env.data.episodes import EpisodeStore
from genie_env.games.registry import game_for
from genie_env.games.sprites import SpriteColours, find_sprites
from tests.helpers import tiny_game
from tests.helpers.held_out import COLOURS, TINY
from tests.helpers.pictures import blend, empty


def test_a_blended_sprite_is_found_where_its_area_says() -> None:
    frames = empty(2, 3)
    # A ball of two pixels that covers three columns: a quarter, a whole and three quarters of them.
    for column, alpha in ((20, 0.25), (21, 1.0), (22, 0.75)):
        frames[1, 2, 40, column] = blend(alpha, tiny_game.BALL_COLOUR)
    seen = find_sprites(frames, COLOURS)
    assert seen.present.shape == (2, 3, 3)
    assert seen.of("ball").sum() == 1
    assert seen.coordinates()["ball_x"][1, 2] == pytest.approx(21.25, abs=0.02)
    assert seen.coordinates()["ball_y"][1, 2] == pytest.approx(40.0, abs=0.02)
    assert np.isnan(seen.x[0, 0]).all()


def test_a_single_frame_and_many_give_the_same() -> None:
    frames = empty(1030)
    frames[::7, 10:12, 10] = tiny_game.BALL_COLOUR
    many = find_sprites(frames, COLOURS)
    for index in (0, 1, 7, 1029):
        one = find_sprites(frames[index], COLOURS)
        assert one.present.shape == (3,)
        for name, place in one.coordinates().items():
            np.testing.assert_equal(place, many.coordinates()[name][index])
    assert find_sprites(frames[:0], COLOURS).present.shape == (0, 3)


def test_too_little_of_a_sprite_is_none() -> None:
    frames = empty(2)
    frames[0, 10, 10], frames[1, 10, 10] = (blend(alpha, tiny_game.BALL_COLOUR) for alpha in (0.2, 0.3))
    assert find_sprites(frames, COLOURS).of("ball").tolist() == [False, True]


def test_only_the_rows_of_the_field_count() -> None:
    frames = empty(1)
    frames[0, 3, 10:14] = tiny_game.BALL_COLOUR
    cut = SpriteColours(COLOURS.background, COLOURS.sprites, rows=(8, 64))
    assert find_sprites(frames, COLOURS).of("ball")[0]
    assert not find_sprites(frames, cut).of("ball")[0]
    frames[0, 30, 10] = tiny_game.BALL_COLOUR
    assert find_sprites(frames, cut).coordinates()["ball_y"][0] == 30


def test_the_detector_agrees_with_the_truth_of_the_tiny_game(store: EpisodeStore) -> None:
    balls = 0
    for _, arrays in store.episodes("test"):
        seen = find_sprites(arrays["frames"], COLOURS)
        for k, name in enumerate(TINY.truth_names):
            np.testing.assert_allclose(seen.coordinates()[name], arrays["truth"][:, k], atol=1e-4, err_msg=name)
        balls += seen.of("ball").sum()
    assert balls > 0


def test_sprites_of_one_colour_are_told_apart_by_their_rows() -> None:
    known = game_for("ALE/Breakout-v5")
    assert known.colours is not None
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[20:30] = (200, 72, 72)  # bricks
    frame[40, 10] = frame[62:64, 30:36] = (200, 72, 72)
    seen = find_sprites(frame, known.colours)
    assert {name: float(at) for name, at in seen.coordinates().items()} == {
        "ball_x": 10,
        "ball_y": 40,
        "own_x": 32.5,
        "own_y": 62.5,
    }
