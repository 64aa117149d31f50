"""Effects of codes relative to each other, and names that do not depend on which code stands for which effect where."""

import numpy as np
import pytest
import torch

from training.latent_action.alignment import explained, observed_means, permuted_means, soft_names
from training.latent_action.effects import VIEWS, effects
from training.latent_action.pictures import shifted

PROTOTYPES = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [-0.5, -0.5, 0.5, 0.0]])


def permuted(count: int, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy drawn effects whose codes are permuted at random, and the prototype [M, A] that each code stands for."""
    generator = torch.Generator().manual_seed(seed)
    orders = torch.stack([torch.randperm(3, generator=generator) for _ in range(count)])
    return PROTOTYPES[orders] + noise * torch.randn(count, 3, 4, generator=generator), orders


def test_prototypes_are_found_whatever_the_codes_are_called_in_each_transition() -> None:
    drawn, _ = permuted(600, 0.2)
    clusters = permuted_means(drawn)
    distances = torch.cdist(clusters.prototypes_AF, PROTOTYPES)
    assert sorted(distances.argmin(1).tolist()) == [0, 1, 2]
    assert distances.amin(1).max() < 0.1
    assert clusters.cost < permuted_means(permuted(600, 0.6)[0]).cost, "prototypes that blur cost more"


def test_observed_effects_are_named_by_the_nearest_prototype() -> None:
    _, orders = permuted(600, 0.0)
    truth = orders[:, 0]
    observed = PROTOTYPES[truth] + 0.2 * torch.randn(600, 4, generator=torch.Generator().manual_seed(1))
    prototypes = observed_means(observed, PROTOTYPES + 0.3)
    names = soft_names(observed, prototypes)
    torch.testing.assert_close(names.sum(1), torch.ones(600))
    assert (names.argmax(1) == truth).float().mean() > 0.97
    between = soft_names((prototypes[:1] + prototypes[1:2]) / 2, prototypes)[0]
    torch.testing.assert_close(between[0], between[1])


def test_a_prototype_that_nothing_is_near_to_stays() -> None:
    far = torch.cat([PROTOTYPES, torch.full((1, 4), 99.0)])
    assert torch.equal(observed_means(PROTOTYPES.repeat(5, 1), far)[3], far[3])


def test_names_that_change_their_meaning_with_the_context_explain_less() -> None:
    _, orders = permuted(900, 0.0)
    truth, observed = orders[:, 0], PROTOTYPES[orders[:, 0]]
    context = torch.arange(900) % 3
    assert explained(truth, observed) == pytest.approx(1.0)
    assert explained((truth + 1) % 3, observed) == pytest.approx(1.0), "which number a name has does not count"
    assert explained((truth + context) % 3, observed) < 0.05
    assert explained(torch.zeros(900, dtype=torch.long), observed) == pytest.approx(0.0)


def pictures(top: int, left: int, shifts: tuple[int, ...], side: int = 32) -> torch.Tensor:
    """A block drawn under codes that move it down by ``shifts``: [1, A, 3, side, side]."""
    drawn = -torch.ones(1, len(shifts), 3, side, side)
    for code, shift in enumerate(shifts):
        drawn[0, code, 1, top + shift : top + shift + 4, left : left + 2] = 1.0
    return drawn


def test_the_same_motion_has_the_same_effect_wherever_it_happens() -> None:
    here, there = pictures(12, 10, (-2, 0, 2)), pictures(15, 19, (-2, 0, 2))
    one, other = (effects(drawn, drawn[:, 0], "around") for drawn in (here, there))
    torch.testing.assert_close(one.drawn_MAF, other.drawn_MAF, atol=1e-4, rtol=0)
    torch.testing.assert_close(one.observed_MF, one.drawn_MAF[:, 0])


def test_transitions_in_which_codes_draw_nearly_the_same_are_told_by_how_far_apart_they_are() -> None:
    drawn = torch.cat([pictures(12, 10, shifts) for shifts in ((-2, 0, 2), (0, 0, 2), (0, 0, 0))])
    seen = effects(drawn, drawn[:, 0], "around")
    assert seen.apart_M[0] > seen.apart_M[1] > seen.apart_M[2]
    assert seen.apart_M[2] < 0.01


@pytest.mark.parametrize("view", VIEWS)
def test_renaming_the_codes_renames_the_drawn_effects_and_leaves_the_observed_one(view: str) -> None:
    drawn = torch.rand(5, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    after = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    plain, renamed = effects(drawn, after, view), effects(drawn[:, [2, 0, 1]], after, view)
    torch.testing.assert_close(renamed.drawn_MAF, plain.drawn_MAF[:, [2, 0, 1]])
    torch.testing.assert_close(renamed.observed_MF, plain.observed_MF)


def test_effects_that_are_no_motions_part_too() -> None:
    nothing = -torch.ones(3, 16, 16)
    appears, colour = nothing.clone(), nothing.clone()
    appears[:, 6:9, 6:9] = 1.0
    colour[0] = 1.0
    for other, view in ((appears, "around"), (colour, "whole")):
        drawn = torch.stack([nothing, other])[None]
        seen = effects(drawn, other[None], view)
        distances = (seen.observed_MF[:, None] - seen.drawn_MAF).norm(dim=-1)
        assert distances[0, 1] < 1e-3 < 0.5 < distances[0, 0]


def test_clips_are_shown_elsewhere_with_what_the_codes_change_in_the_picture() -> None:
    place = torch.tensor([[10.0, 3.0]]).repeat(200, 1)
    clips = torch.zeros(200, 2, 3, 16, 16)
    clips[:, 0, :, 10, 3], clips[:, 1, :, 11, 3] = 1.0, 1.0
    moved = shifted(clips, place, np.random.default_rng(0))
    assert torch.equal(moved[::2], clips[::2]), "every second clip stays"
    rows, columns = (moved[1::2, 0, 0].amax(axis).argmax(1) for axis in (2, 1))
    assert bool((moved[1::2, 0].amax((1, 2, 3)) == 1).all()), "what was in the picture still is"
    assert rows.min() <= 3 and rows.max() == 15 and columns.min() == 0 and columns.max() >= 10
    inside = rows < 15
    below = moved[1::2, 1, 0].amax(2).argmax(1)
    assert torch.equal(below[inside], rows[inside] + 1), "a clip moves as a whole"
