"""Coverage counts places, a token at a position, of held-out play in the training episodes."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.coverage import count_places, coverage, surprisal


def test_play_like_the_training_episodes_is_covered() -> None:
    tokens = np.random.default_rng(0).integers(4, size=(4000, 6))
    found = coverage(count_places(tokens, 4), tokens[:100])
    assert found == (1.0, 1.0, 0.0)


def test_a_token_where_it_never_was_is_not_covered() -> None:
    train = np.zeros((1000, 2), dtype=int)
    train[:, 1] = 1
    held_out = np.array([[0, 1], [1, 1]])
    found = coverage(count_places(train, 3), held_out)
    assert found.places == pytest.approx(2 / 3) and found.frames == 0.5 and found.rare == pytest.approx(1 / 3)


def test_rarer_tokens_surprise_more_and_shares_add_up() -> None:
    train = np.array([[0, 0], [0, 1], [0, 1], [1, 1]])
    rarity = surprisal(count_places(train, 3))
    assert rarity[0, 0] < rarity[0, 1] < rarity[0, 2]
    np.testing.assert_allclose(np.exp(-rarity).sum(1), 1)
