from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pygame
import pytest

from genie_env.effect_names import ActionEffect
from genie_env.frames import upscale
from genie_env.window.hud import LINE, MARGIN, NOTICE, SIGN, Hud
from genie_env.window.renderer import BACKGROUND, Renderer

FULL = Hud(3, 127, 1.0, -3.0, "RIGHTFIRE", 0.8, 0.1, 0.0123, 15.02, "paused", True)


def frame(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def window_pixels(renderer: Renderer) -> np.ndarray:
    assert renderer._window is not None
    return pygame.surfarray.array3d(renderer._window.get_surface()).swapaxes(0, 1)


@pytest.mark.parametrize("scale", [1, 2, 7])
def test_scaling_replicates_every_pixel(scale: int) -> None:
    frame_HWC = frame(5, 9)
    picture_HWC = Renderer(scale).draw(frame_HWC)
    assert picture_HWC.shape == (5 * scale, 9 * scale, 3) and picture_HWC.dtype == np.uint8
    for y in range(scale):
        for x in range(scale):
            assert np.array_equal(picture_HWC[y::scale, x::scale], frame_HWC)


@pytest.mark.parametrize("scale", [0, -1, 1.5])
def test_scale_must_be_a_whole_number(scale: float) -> None:
    with pytest.raises(ValueError, match="whole number"):
        Renderer(scale)


def test_bar_lies_beneath_the_game_and_says_something() -> None:
    frame_HWC = frame()
    picture_HWC = Renderer(8).draw(frame_HWC, FULL)
    assert np.array_equal(picture_HWC[:512], upscale(frame_HWC, 8))
    assert picture_HWC.shape[0] > 512 and (picture_HWC[512:] != BACKGROUND).any()


def test_bar_of_a_small_frame_has_room_for_its_words() -> None:
    frame_HWC = frame()
    picture_HWC = Renderer(1).draw(frame_HWC, FULL)
    left = (picture_HWC.shape[1] - 64) // 2
    assert np.array_equal(picture_HWC[:64, left : left + 64], frame_HWC)
    assert (picture_HWC[:64, :left] == BACKGROUND).all()


def test_bar_keeps_its_height_while_its_values_change() -> None:
    renderer = Renderer(4)
    other = Hud(1, 0, 0.0, 0.0, "–", 0.0, 0.0, 0.0, 0.0, "a message", False)
    assert renderer.draw(frame(), FULL).shape == renderer.draw(frame(), other).shape


def test_fields_that_are_zero_are_shown_and_fields_that_are_none_are_not() -> None:
    assert Hud(step=0, total=0.0).cells() == [("step", "0"), ("total", "+0")]
    assert Hud().cells() == []
    assert len(FULL.cells()) == 9


def test_hud_can_be_switched_off() -> None:
    assert np.array_equal(Renderer(2, hud=False).draw(frame(), FULL), upscale(frame(), 2))


def test_picture_is_new_and_the_frame_untouched() -> None:
    frame_HWC = frame()
    before = frame_HWC.copy()
    picture_HWC = Renderer(1).draw(frame_HWC)
    picture_HWC[:] = 0
    assert np.array_equal(frame_HWC, before)


def test_pair_shows_both_frames_whole_beside_each_other() -> None:
    real, dream = frame(seed=1), frame(seed=2)
    picture_HWC = Renderer(4).draw_pair(real, dream, FULL)
    game = upscale(real, 4)
    tops = [y for y in range(picture_HWC.shape[0] - 256) if np.array_equal(picture_HWC[y : y + 256, :256], game)]
    assert len(tops) == 1 and tops[0] > 0
    assert np.array_equal(picture_HWC[tops[0] : tops[0] + 256, -256:], upscale(dream, 4))
    assert (picture_HWC[: tops[0]] != BACKGROUND).any()


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_frame_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a uint8 frame"):
        Renderer().draw(bad)


def test_window_shows_the_returned_picture() -> None:
    renderer = Renderer(3, window=True)
    picture_HWC = renderer.draw(frame(), FULL)
    assert np.array_equal(window_pixels(renderer), picture_HWC)
    renderer.close()


@pytest.mark.parametrize(("size", "scale"), [((700, 400), 6), ((300, 900), 4), ((80, 70), 1), ((40, 30), 1)])
def test_resized_window_shows_the_largest_whole_scale_in_its_middle(size: tuple[int, int], scale: int) -> None:
    renderer = Renderer(3, window=True)
    returned = renderer.draw(frame())
    assert renderer._window is not None
    renderer._window.size = size
    assert np.array_equal(renderer.draw(frame()), returned)
    shown = window_pixels(renderer)
    assert shown.shape[:2] == size[::-1]
    if size[0] >= 64 * scale and size[1] >= 64 * scale:
        game = shown[(size[1] - 64 * scale) // 2 :, (size[0] - 64 * scale) // 2 :][: 64 * scale, : 64 * scale]
        assert np.array_equal(game, upscale(frame(), scale))
        assert (shown[: (size[1] - 64 * scale) // 2] == BACKGROUND).all()
    renderer.close()


def test_close_is_idempotent_and_leaves_other_windows_alone() -> None:
    first, second = Renderer(2, window=True), Renderer(2, window=True)
    first.draw(frame())
    second.draw(frame())
    first.close()
    first.close()
    assert np.array_equal(second.draw(frame(seed=5)), window_pixels(second))
    first.draw(frame())
    first.close()
    second.close()
    Renderer().close()


def test_importing_renderer_and_play_costs_neither_pygame_nor_torch() -> None:
    code = "import sys, genie_env.window.renderer, genie_env.play.loop; print({'pygame', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def signs(*effects: ActionEffect, played: int = -1) -> np.ndarray:
    """The bar of a game with these effects, without its other lines."""
    return Renderer(8).draw(frame(), Hud(effects=effects, played=played))[512:]


def test_an_arrow_points_where_the_action_moves_things_and_the_played_one_stands_out() -> None:
    up, down, still = (
        ActionEffect("up w", "up", "↑", 0.0, -1.0),
        ActionEffect("down s", "up", "↓", 0.0, 1.0),
        ActionEffect("2 no key", "still", "•", 0.0, 0.0),
    )
    column = slice(MARGIN, MARGIN + SIGN)
    upwards, downwards = (signs(effect)[:, column] != BACKGROUND for effect in (up, down))
    rows = [np.flatnonzero(drawn.any((1, 2))) for drawn in (upwards, downwards)]
    widths = [drawn.any(-1).sum(1)[inked] for drawn, inked in zip((upwards, downwards), rows, strict=True)]
    assert widths[0].argmax() < len(widths[0]) / 2 < widths[1].argmax(), "the head is above, and below"
    dot = (signs(still)[:, column] != BACKGROUND).any(-1)
    assert 0 < dot.any(1).sum() < len(rows[0]) and dot.any(0).sum() == pytest.approx(dot.any(1).sum(), abs=1)
    assert not (signs(up)[:, column] == NOTICE).all(-1).any()
    assert (signs(up, still, played=0)[:, column] == NOTICE).all(-1).any()


def test_effects_add_lines_to_the_bar_and_cover_no_words() -> None:
    effects = tuple(ActionEffect(f"{code}", f"effect {code}", "?", 0.0, 0.0) for code in range(8))
    plain, more = Renderer(8).draw(frame(), FULL), Renderer(8).draw(frame(), replace(FULL, effects=effects))
    lines = -(-8 // 3)
    assert len(more) - len(plain) == lines * LINE
    words = replace(FULL, effects=effects).words(512, lambda word: 7 * len(word))
    assert max(word.line for word in words) == words[-1].line and words[-1].text == "paused"
    places = [(word.x, word.line) for word in words]
    assert len(set(places)) == len(places)
