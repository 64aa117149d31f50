"""Departures are those of the dream, and what says nothing of it does not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.evaluation.foresight import WITHIN, Departures, ahead_correlation, auroc_gain, departure_auroc
from training.evaluation.held_out import Clips

CLIPS, STEPS, CONTEXT = 40, 12, 3


def clips(served_at: int | None = None) -> Clips:
    tokens = torch.zeros(CLIPS, CONTEXT + STEPS, 64, dtype=torch.long)
    served_CH = np.zeros((CLIPS, STEPS), bool)
    if served_at is not None:
        served_CH[:, served_at:] = True
    nothing = np.zeros((CLIPS, STEPS), bool)
    return Clips(
        CONTEXT, np.zeros(0), tokens, torch.zeros(CLIPS, CONTEXT + STEPS - 1), nothing, served_CH, nothing, np.zeros(0)
    )


def dreamed(leaving_C: np.ndarray, wrong: int = 4) -> torch.Tensor:
    """Dreams that are right until clip c leaves at step ``leaving_C[c]``, for good."""
    tokens = torch.zeros(CLIPS, STEPS, 64, dtype=torch.long)
    for clip, at in enumerate(leaving_C):
        tokens[clip, at:, :wrong] = 1
    return tokens


def test_frames_count_until_the_dream_has_left() -> None:
    found = Departures.of(clips(), dreamed(np.full(CLIPS, 6)))
    length = STEPS - WITHIN + 1
    assert found.counted.shape == found.leaves.shape == found.wrong_ahead.shape == (CLIPS, length)
    assert found.counted[0].tolist() == [step <= 6 for step in range(length)]
    assert found.leaves[0].tolist() == [step + WITHIN > 6 for step in range(length)]
    assert found.wrong_ahead[0].tolist() == [4 * (step + WITHIN > 6) for step in range(length)]
    assert not Departures.of(clips(), dreamed(np.full(CLIPS, 6), wrong=3)).leaves.any()


def test_frames_ahead_of_a_serve_do_not_count() -> None:
    found = Departures.of(clips(served_at=7), dreamed(np.full(CLIPS, STEPS)))
    assert found.counted[0].tolist() == [step + WITHIN <= 7 for step in range(STEPS - WITHIN + 1)]


def test_a_signal_that_knows_separates_all_and_one_that_does_not_none() -> None:
    rng = np.random.default_rng(0)
    leaving_C = rng.integers(2, STEPS + 3, size=CLIPS)
    found = Departures.of(clips(), dreamed(leaving_C))
    knows = np.zeros((CLIPS, STEPS))
    knows[:, : found.leaves.shape[1]] = found.leaves
    assert departure_auroc([knows], [found]).value == 1.0 and departure_auroc([-knows], [found]).value == 0.0
    assert ahead_correlation([knows], [found]).value == pytest.approx(1.0)
    guesses = [rng.random((CLIPS, STEPS)) for _ in range(2)]
    guessed = departure_auroc(guesses, [found, found])
    assert guessed.low < 0.5 < guessed.high and guessed.count == CLIPS
    gained = auroc_gain([knows, knows], guesses, [found, found])
    assert gained.value == pytest.approx(1.0 - guessed.value) and gained.low > 0.2
    assert auroc_gain(guesses, guesses, [found, found]).high == 0.0
    # Each repetition is judged on its own scale.
    assert departure_auroc([knows, 100 + knows], [found, found]).value == 1.0
