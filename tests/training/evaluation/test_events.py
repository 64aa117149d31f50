"""Events are those of the sprites that are wrong, when they happen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.helpers.held_out import TINY
from training.evaluation import events
from training.evaluation.events import Events, find_events, kind_of_mistake
from training.evaluation.held_out import Clips

CONTEXT, STEPS = 4, 6
PATCH = (8, 8.0)


def clips(truth_TK: np.ndarray, outcome_at: int | None = None) -> Clips:
    outcomes_CH = np.zeros((1, STEPS), bool)
    if outcome_at is not None:
        outcomes_CH[0, outcome_at] = True
    tokens = torch.zeros(1, CONTEXT + STEPS, 64, dtype=torch.long)
    nothing = np.zeros((1, STEPS), bool)
    return Clips(CONTEXT, np.zeros(0), tokens, tokens[..., 0], nothing, nothing, outcomes_CH, truth_TK[None])


def track(ball_xy_T2: list[tuple[float, float]], own_y_T: list[float] | None = None) -> np.ndarray:
    """Ground truth of a clip: a ball, the own paddle at column 60, and an opponent that rests in the corner."""
    own = own_y_T or [30.0] * len(ball_xy_T2)
    return np.array([(x, y, 60.0, own_y, 2.0, 60.0) for (x, y), own_y in zip(ball_xy_T2, own, strict=True)], np.float32)


def found(truth_TK: np.ndarray, outcome_at: int | None = None) -> Events:
    manifest = SimpleNamespace(truth_names=TINY.truth_names)
    play: Any = SimpleNamespace(game=TINY, store=SimpleNamespace(manifest=manifest))
    return find_events(play, clips(truth_TK, outcome_at))


def flight(turn_at: int, x: float, y: float, dx: float, dy: float, axis: int) -> list[tuple[float, float]]:
    """A ball at (x, y) in frame ``turn_at``, from which on it moves the other way along one axis."""
    sign = np.array([-1.0 if a == axis else 1.0 for a in range(2)])
    step = np.array([dx, dy])
    times = np.arange(CONTEXT + STEPS) - turn_at
    return [tuple(np.array([x, y]) + step * t * (sign if t > 0 else 1.0)) for t in times]


def test_a_ball_turns_at_the_paddle_or_at_a_wall() -> None:
    at_own = found(track(flight(6, 57.0, 32.0, 2.0, 1.0, axis=0)))
    assert at_own.what["ball"][0].tolist() == ["", "", "", "bounce at own", "", ""]
    at_wall = found(track(flight(6, 30.0, 1.0, 2.0, -1.0, axis=1)))
    assert at_wall.what["ball"][0].tolist() == ["", "", "", events.WALL, "", ""]
    assert at_wall.happened(np.array([4])) == {events.WALL: 1} and at_wall.happened(np.array([3])) == {}


def test_serves_points_and_targets_are_told_apart() -> None:
    nan = float("nan")
    straight = [(20.0 + t, 20.0) for t in range(CONTEXT + STEPS)]
    gone = [xy if t < 6 else (nan, nan) for t, xy in enumerate(straight)]
    assert found(track(gone)).what["ball"][0].tolist() == ["", "", events.GONE, "", "", ""]
    assert found(track(gone), outcome_at=2).what["ball"][0, 2] == events.POINT
    served = [xy if t > 5 else (nan, nan) for t, xy in enumerate(straight)]
    assert found(track(served)).what["ball"][0].tolist() == ["", "", events.SERVE, "", "", ""]
    brick = flight(6, 30.0, 20.0, 1.0, -2.0, axis=1)
    assert found(track(brick), outcome_at=3).what["ball"][0, 3] == events.TARGET


def test_an_event_is_that_of_the_sprite_that_is_wrong() -> None:
    own = [10.0 + 2 * min(t, 12 - t) for t in range(CONTEXT + STEPS)]
    both = found(track(flight(6, 30.0, 1.0, 2.0, -1.0, axis=1), own))
    ball, paddle, nowhere = np.array([3]), np.array([2 * 8 + 7]), np.array([5 * 8 + 2])
    assert both.what["own"][0].tolist() == ["", "", "", "turn of own", "", ""]
    assert both.of(0, 3, ball, CONTEXT, PATCH) == events.WALL
    assert both.of(0, 2, ball, CONTEXT, PATCH) == events.WALL, "a bounce shows in the frame before it, too"
    assert both.of(0, 3, paddle, CONTEXT, PATCH) == "turn of own"
    assert both.of(0, 0, paddle, CONTEXT, PATCH) == "own on its way"
    assert both.of(0, 3, nowhere, CONTEXT, PATCH) == events.ELSEWHERE


def test_a_game_that_is_not_known_has_no_events() -> None:
    manifest = SimpleNamespace(truth_names=())
    play: Any = SimpleNamespace(
        game=SimpleNamespace(colours=None, tracked="ball"), store=SimpleNamespace(manifest=manifest)
    )
    nothing = find_events(play, clips(np.zeros((CONTEXT + STEPS, 0), np.float32)))
    assert nothing.of(0, 0, np.array([1]), CONTEXT, PATCH) == events.ANYWHERE
    assert nothing.happened(np.array([STEPS])) == {}


def test_mistakes_have_kinds_in_any_game() -> None:
    def kind(before: list[int], came: list[int], dreamed: list[int], seen: int = 99, outcome: bool = False) -> str:
        counts = np.full(len(came), seen)
        return kind_of_mistake(np.array(before), np.array(came), np.array(dreamed), counts, outcome)

    assert kind([1, 1], [2, 3], [1, 1]) == "left what changes"
    assert kind([1, 1], [1, 1], [2, 1]) == "moved what stays"
    assert kind([1, 1], [2, 1], [3, 2]) == "changed it otherwise"
    assert "never had" in kind([1], [2], [1], seen=0)
    assert "fewer than" in kind([1], [2], [1], seen=1)
    assert "reward" in kind([1], [2], [1], seen=0, outcome=True)
