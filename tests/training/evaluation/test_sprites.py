"""Pieces, remaining pixels and position errors of sprites are exact where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from genie_env.data.episodes import EpisodeStore
from genie_env.games.registry import game_for
from genie_env.games.sprites import Sightings, find_sprites
from tests.helpers import tiny_game
from tests.helpers.held_out import COLOURS
from tests.helpers.pictures import blend, empty
from training.evaluation.sprites import count_pieces, count_pixels_left, position_errors

BALL = 0


def test_pieces_touching_by_a_corner_are_one_and_others_are_counted() -> None:
    frames = empty(3)
    frames[0, 10, 10] = frames[0, 11, 11] = tiny_game.BALL_COLOUR
    frames[1, 10, 10] = frames[1, 12, 12] = tiny_game.BALL_COLOUR
    # A fifth of a pixel is too little to be a ball, and frames in a stack do not touch each other.
    frames[2, 10, 10] = blend(0.2, tiny_game.BALL_COLOUR)
    assert count_pieces(frames, COLOURS)[:, BALL].tolist() == [1, 2, 0]


def test_every_sprite_of_the_tiny_game_is_one_piece(store: EpisodeStore) -> None:
    for _, arrays in store.episodes("test"):
        frames = arrays["frames"][None]
        np.testing.assert_array_equal(count_pieces(frames, COLOURS), find_sprites(frames, COLOURS).present)


def test_pieces_of_sprites_of_one_colour_are_counted_apart() -> None:
    colours = game_for("ALE/Breakout-v5").colours
    assert colours is not None
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[40, 10] = frame[62:64, 30:36] = (200, 72, 72)
    assert count_pieces(frame, colours).tolist() == [1, 1]


def test_pixels_left_are_all_of_the_same_picture_and_none_of_an_empty_one() -> None:
    frames = empty(2)
    frames[:, 10:12, 10:12] = tiny_game.BALL_COLOUR
    frames[:, 20:30, 60:62] = tiny_game.OWN_COLOUR
    for drawn, share in ((frames, 1.0), (empty(2), 0.0)):
        counts = count_pixels_left(frames, drawn, COLOURS)
        assert counts.all_BS.tolist() == [[4, 20, 0]] * 2
        assert (counts.left_BS == share * counts.all_BS).all()
    faint = frames.copy()
    faint[:, 10, 10:12], faint[:, 11, 10:12] = (blend(alpha, tiny_game.BALL_COLOUR) for alpha in (0.45, 0.55))
    assert count_pixels_left(frames, faint, COLOURS).left_BS[:, BALL].tolist() == [2, 2]


def test_a_missing_sprite_has_the_given_error_and_an_absent_one_none() -> None:
    def at(x: float, present: bool) -> Sightings:
        place = np.array([x if present else np.nan])
        return Sightings(("ball",), np.array([present]), place, place)

    assert position_errors(at(3, True), at(6, True), 64)[0] == pytest.approx(np.hypot(3, 3))
    assert position_errors(at(3, True), at(6, False), 64)[0] == 64
    assert np.isnan(position_errors(at(3, False), at(6, True), 64)[0])
