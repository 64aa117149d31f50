"""Codes that draw the same become one, and as many stay as are worth something."""

import pytest
import torch

from training.latent_action.merging import fewest, merge_steps

UP, STILL, DOWN = torch.tensor([0.0, -1.0]), torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0])


def test_prototypes_that_are_alike_are_merged_first() -> None:
    prototypes = torch.stack([UP, DOWN + 0.01, STILL, DOWN, UP + 0.02])
    steps = merge_steps(prototypes, torch.tensor([50, 50, 100, 50, 50]))
    assert [len(groups) for groups in steps] == [5, 4, 3, 2, 1]
    assert {frozenset(group) for group in steps[2]} == {frozenset({0, 4}), frozenset({1, 3}), frozenset({2})}
    assert all(sorted(code for group in groups for code in group) == [0, 1, 2, 3, 4] for groups in steps)


def test_a_code_that_nobody_uses_is_merged_first_whatever_it_draws() -> None:
    prototypes = torch.stack([UP, STILL, DOWN, torch.tensor([9.0, 9.0])])
    first = merge_steps(prototypes, torch.tensor([100, 100, 100, 0]))[1]
    assert {frozenset(group) for group in first} & {frozenset({3, code}) for code in range(3)}


@pytest.mark.parametrize(
    ("worth", "kept"),
    [
        ({1: 0.0, 2: 6.2, 3: 8.1, 4: 8.3, 5: 8.3}, 3),
        ({1: 0.0, 2: 6.2, 3: 8.1, 4: 9.6}, 4),
        ({1: 0.0, 2: 2.6, 3: 3.1}, 2),
        ({1: 0.0, 2: 0.5, 3: 0.8, 4: 1.2}, 4),
    ],
)
def test_fewest_codes_are_kept_after_which_more_are_worth_less_than_a_decibel(
    worth: dict[int, float], kept: int
) -> None:
    assert fewest(worth) == kept
