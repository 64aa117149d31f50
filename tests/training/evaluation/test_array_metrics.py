"""Measures on plain arrays are exact where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.array_metrics import (
    UNCHANGED,
    count_places,
    distance,
    fingerprints,
    high_frequency_power,
    longest_repeat,
    perplexity,
    ssim,
    token_flips,
)


def test_longest_repeat_counts_unchanged_steps() -> None:
    frames = np.array([[0, 0, 1, 1, 1, 1, 2], [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 0, 1, 2, 0]], np.uint8)
    prints = fingerprints(np.broadcast_to(frames[..., None, None, None], (3, 7, 4, 4, 3)))
    assert prints.shape == (3, 7)
    assert longest_repeat(prints, 1).tolist() == [3, 0, 0]
    assert longest_repeat(prints, 2).tolist() == [3, 0, 0]
    assert longest_repeat(prints, 100).tolist() == [3, 0, 4]


def test_ssim_is_one_for_equal_frames_and_falls_with_noise_but_not_with_brightness() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(60, 190, size=(2, 3, 32, 32, 3)).astype(np.uint8)
    noise = rng.integers(-60, 60, size=frames.shape)
    assert ssim(frames, frames) == pytest.approx(np.ones((2, 3)))
    noisy, brighter = ssim(frames, (frames + noise).astype(np.uint8)), ssim(frames, frames + np.uint8(20))
    assert noisy.max() < 0.9 < brighter.min() < 1.0


def test_ssim_of_constant_frames_is_that_of_the_formula() -> None:
    one, other = np.full((1, 16, 16, 3), 100, np.uint8), np.full((1, 16, 16, 3), 200, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(one, other)[0] == pytest.approx((2 * 100 * 200 + c1) / (100**2 + 200**2 + c1), rel=1e-4)


def test_high_frequencies_are_edges_and_noise_and_no_slow_waves() -> None:
    columns = np.arange(64)
    slow, fast = (np.round(100 + 50 * np.sin(2 * np.pi * f * columns)).astype(np.uint8) for f in (4 / 64, 20 / 64))
    slow, fast = (np.broadcast_to(wave[None, :, None], (2, 64, 64, 3)) for wave in (slow, fast))
    assert high_frequency_power(slow).shape == (2,)
    assert (high_frequency_power(slow) < 1e-3 * high_frequency_power(fast)).all()
    # Parseval: a sine of amplitude 50 has half of 50² in each pixel and colour; half of it is in the half spectrum.
    assert high_frequency_power(fast) / (64**2) ** 2 == pytest.approx(np.full(2, 3 * 50**2 / 4), rel=0.01)
    sharp = np.zeros((1, 64, 64, 3), np.uint8)
    sharp[:, 20:23, 20:23] = 200
    blurred = sharp.copy()
    blurred[:, 19:24, 19:24] = 72
    assert 0 < high_frequency_power(blurred)[0] < 0.3 * high_frequency_power(sharp)[0]


def test_histograms_know_places_and_distances_end_at_one() -> None:
    tokens = np.array([[[0, 1], [1, 0]], [[0, 1], [0, 1]]])
    assert count_places(tokens, 2).tolist() == [[3, 1], [1, 3]]
    assert distance(np.array([2, 2]), np.array([1, 1])) == 0.0
    assert distance(np.array([2, 0]), np.array([0, 5])) == 1.0
    assert perplexity(np.array([3, 3, 3, 0])) == pytest.approx(3)
    assert perplexity(np.array([0, 9])) == pytest.approx(1)


def test_a_token_flips_only_where_its_patch_stays_as_it_is() -> None:
    frames = np.full((3, 16, 16, 3), 100, np.uint8)
    # Noise up to the threshold on the first patch, motion on the last one.
    frames[1, :8, :8] += UNCHANGED
    frames[2, 8:, 8:] = 200
    tokens = np.array([[5, 6, 7, 8], [4, 6, 7, 8], [4, 6, 9, 3]])
    flipped, still = token_flips(frames, tokens)
    assert flipped.tolist() == [1, 1] and still.tolist() == [4, 3]
