"""Codes that do what their prototypes say after any code obey; those that go by what was pressed before do not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from genie_env.config import SamplingConfig
from genie_env.measurement import Metric, Subset, pick
from tests.helpers import tiny_game
from training.evaluation import codes_obeyed
from training.evaluation.codes_obeyed import measure_codes_obeyed, obeys, press_all
from training.evaluation.held_out import Clips, HeldOutPlay

UP, STILL, DOWN = (0.0, -1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0)
MOVES = np.array([-2, 0, 2])


@pytest.fixture
def measured(held_out: HeldOutPlay, monkeypatch: pytest.MonkeyPatch) -> HeldOutPlay:
    """The same play, of a world whose codes are known to move things up, not at all and down."""
    # The recording is short: nobody was at the walls in it.
    monkeypatch.setattr(codes_obeyed, "reach_of", lambda *_: {"own_y": (4.5, 58.5)})
    world = held_out.world
    latent = replace(world.config.latent_action, prototypes=(UP, STILL, DOWN))
    told = SimpleNamespace(config=replace(world.config, latent_action=latent))
    return replace(held_out, world=told, background_HWC=empty())


def empty() -> np.ndarray:
    return np.full((64, 64, 3), tiny_game.BACKGROUND_COLOUR, np.uint8)


def picture(own_top: int) -> np.ndarray:
    frame = empty()
    frame[own_top : own_top + tiny_game.PADDLE_HEIGHT, tiny_game.OWN_LEFT : tiny_game.OWN_LEFT + 2] = (
        tiny_game.OWN_COLOUR
    )
    return frame


def dreamed(tops: list[int], move) -> tuple[np.ndarray, np.ndarray]:
    """What a paddle at each of ``tops`` does under each code after each other: ``move(code, before)`` pixels."""
    place = lambda top: int(np.clip(top, 0, tiny_game.LOWEST_PADDLE))  # noqa: E731
    states = np.array([[place(top + MOVES[before]) for before in range(3)] for top in tops])
    after = [
        [[picture(place(top + move(code, b))) for code in range(3)] for b, top in enumerate(row)] for row in states
    ]
    return np.array([[picture(top) for top in row] for row in states]), np.array(after)


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (lambda code, before: MOVES[code], 1.0),
        (lambda code, before: 0, 1 / 3),
        (lambda code, before: MOVES[(code + before) % 3], 1 / 3),
        (lambda code, before: -MOVES[code], 1 / 3),
    ],
    ids=["obey", "ignored", "relative to the code before", "turned round"],
)
def test_share_is_of_steps_in_which_a_code_does_what_it_says(
    measured: HeldOutPlay, clips: Clips, monkeypatch: pytest.MonkeyPatch, move, expected: float
) -> None:
    monkeypatch.setattr(codes_obeyed, "press_all", lambda *_: dreamed([26, 27, 28, 29], move))
    found = measure_codes_obeyed(measured, clips, SamplingConfig())
    assert pick(found, Metric.CODES_OBEYED, subset="").value == pytest.approx(expected)
    assert pick(found, Metric.CODES_OBEYED, subset=Subset.ROOM_TO_MOVE, sprite="own").value == pytest.approx(expected)


def test_at_a_wall_nothing_can_obey_and_nothing_is_asked(
    measured: HeldOutPlay, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [0, 0, 0, 25, 30, 35]
    monkeypatch.setattr(codes_obeyed, "press_all", lambda *_: dreamed(places, lambda code, before: MOVES[code]))
    found = measure_codes_obeyed(measured, clips, SamplingConfig())
    assert pick(found, Metric.CODES_OBEYED, subset=Subset.ROOM_TO_MOVE).value == 1.0
    assert pick(found, Metric.CODES_OBEYED, subset="").value < 1.0


def test_moves_are_compared_in_units_of_the_farthest_and_what_vanished_did_not_obey() -> None:
    effects = np.array([-8.0, 0.5, 8.0])[None, None, :, None]
    assert obeys(effects, np.array([[-0.2], [0.0], [0.2]])).all()
    effects = np.where(np.arange(3)[:, None] == 2, np.nan, effects)
    assert obeys(effects, np.array([[-0.2], [0.0], [0.2]]))[0, 0].tolist() == [True, True, False]


def test_codes_that_were_not_measured_are_not_asked(held_out: HeldOutPlay, clips: Clips) -> None:
    assert measure_codes_obeyed(held_out, clips, SamplingConfig()) == []


def test_every_code_is_pressed_after_every_other_from_the_same_state(held_out: HeldOutPlay, clips: Clips) -> None:
    states, after = press_all(held_out, clips, SamplingConfig(temperature=1.0))
    assert states.shape == (len(clips.tokens_CTN), 3, 64, 64, 3) and after.shape == (*states.shape[:2], 3, 64, 64, 3)
    one, again = press_all(held_out, clips, SamplingConfig(temperature=1.0))
    assert np.array_equal(states, one) and np.array_equal(after, again)
    assert len({frame.tobytes() for frame in after.reshape(-1, 64 * 64 * 3)}) > len(states)
