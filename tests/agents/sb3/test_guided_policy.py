"""A guided policy plays the explorer's actions where it is guided, and learns from them as its own."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch

from agents.sb3.guided_policy import STRETCH, Guide, GuidedPolicy
from agents.sb3.networks import policy_settings

SPACE = gym.spaces.Box(0, 255, (4, 24, 24), np.uint8)


def make_policy() -> GuidedPolicy:
    return GuidedPolicy(SPACE, gym.spaces.Discrete(3), lambda _: 1e-3, **policy_settings("small_cnn", 0))


def guide(share: float, rows: int = 16) -> Guide:
    return Guide(3, rows, np.random.default_rng(0), lambda: share)


def test_nothing_is_replaced_without_a_share_and_everything_with_the_whole() -> None:
    nowhere = np.full(16, 9)
    assert all(guide(0.0).replace(nowhere) is None for _ in range(3))
    everywhere = guide(1.0)
    for _ in range(3 * STRETCH):
        replaced = everywhere.replace(nowhere)
        assert replaced is not None and set(replaced) <= {0, 1, 2}


def test_the_share_of_rows_follows_and_holds_for_a_stretch() -> None:
    half, chosen = guide(0.5, rows=200), []
    for _ in range(2 * STRETCH):
        replaced = half.replace(np.full(200, 9))
        assert replaced is not None
        chosen.append(replaced != 9)
    assert 0.35 < np.mean(chosen) < 0.65
    assert all(np.array_equal(chosen[0], row) for row in chosen[:STRETCH])
    assert not np.array_equal(chosen[0], chosen[STRETCH])


def test_log_probabilities_belong_to_the_actions_that_are_played() -> None:
    policy = make_policy()
    seen = torch.randint(0, 255, (16, *SPACE.shape), dtype=torch.uint8)
    policy.guide = guide(1.0)
    expected = guide(1.0).replace(np.zeros(16, dtype=np.int64))
    with torch.no_grad():
        actions_B, values_B1, log_probs_B = policy(seen)
        of_these = policy.evaluate_actions(seen, actions_B)
    assert expected is not None and np.array_equal(actions_B.numpy(), expected)
    assert torch.allclose(log_probs_B, of_these[1]) and torch.allclose(values_B1, of_these[0])


def test_a_policy_that_only_plays_is_not_guided() -> None:
    policy = make_policy()
    policy.guide = Guide(3, 4, np.random.default_rng(0), lambda: 1.0)
    seen = np.random.default_rng(0).integers(0, 255, (4, *SPACE.shape), dtype=np.uint8)
    policy.predict(seen)
    assert policy.guide._step == 0
