"""Random numbers, tokens and actions are drawn as promised, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from genie_env.rollout.sampling import (
    LANE_ACTION,
    LANE_ORDER,
    LANE_TOKENS,
    counter_uniform,
    decide,
    diversify,
    draw_tokens,
)

KEYS = torch.tensor([0, 1, -1, 12345, 2**62, -(2**63), 987654321987654321])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(rows: int, count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, count, generator=rng(seed))


def chi_square(samples: torch.Tensor, bins: int = 64) -> float:
    counts = torch.histc(samples.double().flatten(), bins, 0.0, 1.0).numpy()
    return float(stats.chisquare(counts).pvalue)


@pytest.mark.parametrize("key", KEYS.tolist())
def test_counter_uniform_is_uniform_over_lanes_and_over_steps(key: int) -> None:
    keys = torch.full((256,), key)
    steps = torch.arange(256)
    numbers = counter_uniform(keys, steps, LANE_TOKENS, 64)
    assert numbers.dtype == torch.float32 and float(numbers.min()) >= 0 and float(numbers.max()) < 1
    assert chi_square(numbers) > 1e-4
    # Not only all together: each step's lanes, and each lane's steps, are spread like independent numbers.
    for axis in (0, 1):
        means = numbers.double().mean(axis)
        expected = 1 / np.sqrt(12 * numbers.shape[axis])
        assert 0.7 < float(means.std()) / expected < 1.3


def test_counter_uniform_is_uniform_over_neighbouring_keys() -> None:
    numbers = counter_uniform(torch.arange(20_000), torch.zeros(20_000, dtype=torch.long), LANE_ACTION, 2)
    assert chi_square(numbers[:, 0]) > 1e-4 and chi_square(numbers[:, 1]) > 1e-4
    assert abs(float(torch.corrcoef(numbers.T)[0, 1])) < 0.03


def test_counter_uniform_of_a_row_does_not_depend_on_its_batch() -> None:
    steps = torch.arange(len(KEYS)) * 1000
    together = counter_uniform(KEYS, steps, LANE_ORDER, 64)
    for row in range(len(KEYS)):
        alone = counter_uniform(KEYS[row : row + 1], steps[row : row + 1], LANE_ORDER, 64)
        assert torch.equal(alone[0], together[row])
    shuffled = torch.randperm(len(KEYS), generator=rng())
    assert torch.equal(counter_uniform(KEYS[shuffled], steps[shuffled], LANE_ORDER, 64), together[shuffled])


def test_counter_uniform_of_a_lane_does_not_depend_on_how_many_are_asked_for() -> None:
    zero = torch.zeros_like(KEYS)
    many = counter_uniform(KEYS, zero, 10, 50)
    assert torch.equal(many[:, 7:12], counter_uniform(KEYS, zero, 17, 5))


def test_counter_uniform_differs_between_keys_steps_and_lanes() -> None:
    keys = KEYS.repeat_interleave(20)
    steps = torch.arange(20).repeat(len(KEYS))
    numbers = torch.cat([counter_uniform(keys, steps, lane, 32) for lane in (LANE_TOKENS, LANE_ORDER, LANE_ACTION)], 1)
    streams = torch.cat([numbers, numbers.T.contiguous().view(-1, numbers.shape[0])[:, : numbers.shape[1]]])
    assert len(streams.unique(dim=0)) == len(streams)
    # Among 24-bit numbers a few coincide by chance (birthdays), and no more than that.
    assert numbers.numel() - len(numbers.unique()) < 3 * numbers.numel() ** 2 / 2**25 + 10


def test_temperature_zero_takes_the_most_likely_token() -> None:
    log_probs = (3 * torch.randn(5, 16, 40, generator=rng())).log_softmax(-1)
    draw = draw_tokens(log_probs, torch.zeros(5), 1.0, uniform(5, 16))
    assert torch.equal(draw.tokens_BM, log_probs.argmax(-1)) and bool(draw.certain_BM.all())


def test_rows_have_their_own_temperatures() -> None:
    log_probs = torch.randn(1, 16, 40, generator=rng()).log_softmax(-1).expand(2, -1, -1)
    draw = draw_tokens(log_probs, torch.tensor([0.0, 1.0]), 1.0, uniform(1, 16).expand(2, -1))
    assert torch.equal(draw.tokens_BM[0], log_probs[0].argmax(-1))
    assert not torch.equal(draw.tokens_BM[0], draw.tokens_BM[1])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_whole_nucleus_gives_the_frequencies_of_softmax(temperature: float) -> None:
    draws, vocab = 20_000, 12
    log_probs = (1.5 * torch.randn(1, 2, vocab, generator=rng(3))).log_softmax(-1)
    draw = draw_tokens(
        log_probs.expand(draws, -1, -1), torch.full((draws,), temperature), 1.0, uniform(draws, 2, seed=4)
    )
    expected = (log_probs[0] / temperature).double().softmax(-1) * draws
    for place in range(2):
        counts = torch.bincount(draw.tokens_BM[:, place], minlength=vocab)
        common = expected[place] > 5
        assert (
            float(
                stats.chisquare(
                    counts[common], expected[place, common] * counts[common].sum() / expected[place, common].sum()
                ).pvalue
            )
            > 1e-4
        )
        assert int(counts[~common].sum()) <= 10 * float(expected[place, ~common].sum()) + 5


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.99])
def test_draws_never_leave_the_nucleus_and_reach_all_of_it(top_p: float) -> None:
    draws, vocab = 4000, 10
    log_probs = (2 * torch.randn(1, 3, vocab, generator=rng(5))).log_softmax(-1)
    numbers = torch.linspace(0, 1, draws + 1)[:-1, None].expand(-1, 3)
    numbers = torch.cat([numbers, torch.full((1, 3), float(np.nextafter(np.float32(1), np.float32(0))))])
    tokens = draw_tokens(log_probs.expand(len(numbers), -1, -1), torch.ones(len(numbers)), top_p, numbers).tokens_BM
    probs, order = log_probs[0].softmax(-1).sort(-1, descending=True)
    for place in range(3):
        size = int((probs[place].cumsum(-1) - probs[place] < top_p).sum())
        assert set(tokens[:, place].tolist()) <= set(order[place, :size].tolist())
        likely = order[place, :size][probs[place, :size] > 10 / draws]
        assert set(likely.tolist()) <= set(tokens[:, place].tolist())


def test_token_is_sure_exactly_where_its_nucleus_is_single() -> None:
    log_probs = (4 * torch.randn(50, 16, 30, generator=rng(6))).log_softmax(-1)
    draw = draw_tokens(log_probs, torch.ones(50), 0.9, uniform(50, 16))
    best = log_probs.softmax(-1).amax(-1)
    clear = (best - 0.9).abs() > 1e-4
    assert torch.equal(draw.certain_BM[clear], (best >= 0.9)[clear])
    assert bool(draw.certain_BM.any()) and not bool(draw.certain_BM.all())
    assert torch.equal(draw.tokens_BM[draw.certain_BM], log_probs.argmax(-1)[draw.certain_BM])


def test_entropy_is_that_of_each_token_in_nats() -> None:
    log_probs = torch.full((1, 4, 8), -60.0)
    log_probs[0, :3, 0] = 60.0
    log_probs[0, 3] = 0.0
    draw = draw_tokens(log_probs.log_softmax(-1), torch.ones(1), 1.0, uniform(1, 4))
    assert draw.entropy_BM[0].tolist() == pytest.approx([0, 0, 0, np.log(8)], rel=1e-5)


def test_draw_of_a_row_does_not_depend_on_its_batch() -> None:
    log_probs, heat, numbers = (
        torch.randn(6, 16, 40, generator=rng()).log_softmax(-1),
        torch.linspace(0, 2, 6),
        uniform(6, 16),
    )
    together = draw_tokens(log_probs, heat, 0.9, numbers)
    for row in range(6):
        one = slice(row, row + 1)
        alone = draw_tokens(log_probs[one], heat[one], 0.9, numbers[one])
        assert torch.equal(alone.tokens_BM[0], together.tokens_BM[row])
        assert torch.equal(alone.certain_BM[0], together.certain_BM[row])


def test_decide_keeps_the_sure_ones_and_at_least_one_more() -> None:
    order, sure = uniform(300, 16), uniform(300, 16, seed=1) < torch.linspace(0, 0.99, 300)[:, None]
    for share in (0.0, 0.01, 0.3, 0.9):
        kept = decide(sure, order, share)
        assert bool((kept | ~sure).all())
        unsure = (~sure).sum(-1)
        wanted = (unsure * share).floor().clamp_min(1).minimum(unsure)
        assert torch.equal((kept & ~sure).sum(-1), wanted.long())


def test_decide_takes_the_unsure_ones_in_their_random_order() -> None:
    order = uniform(50, 16)
    sure = torch.zeros(50, 16, dtype=torch.bool)
    sure[:, :4] = True
    kept = decide(sure, order, 0.5) & ~sure
    latest_kept = order.masked_fill(~kept, -1).amax(-1)
    assert bool((latest_kept[:, None] < order)[~kept & ~sure].all())


@pytest.mark.parametrize("passes", [1, 2, 5, 30])
def test_decide_ends_with_everything_decided(passes: int) -> None:
    decided = uniform(40, 16, seed=2) < 0.3
    for index in range(passes):
        decided = decide(decided, uniform(40, 16, seed=index), ((index + 1) / passes) ** 2)
    assert bool(decided.all())


def test_diversity_zero_never_changes_the_action_and_one_always_picks_a_least_used() -> None:
    rows, actions = 4000, 4
    recent = torch.randint(-1, actions, (rows, 5), generator=rng())
    asked = torch.randint(actions, (rows,), generator=rng(1))
    numbers = uniform(rows, 2)
    assert torch.equal(diversify(asked, recent, actions, torch.zeros(rows), numbers), asked)
    chosen = diversify(asked, recent, actions, torch.ones(rows), numbers)
    for row in range(0, rows, 10):
        counts = [recent[row].tolist().count(action) for action in range(actions)]
        assert counts[int(chosen[row])] == min(counts)


def test_diversity_draws_ties_uniformly_and_replaces_as_often_as_asked() -> None:
    rows = 30_000
    recent = torch.tensor([0, 0, 3, 3, 0]).expand(rows, -1)  # 1, 2 and 4 were never used.
    asked = torch.zeros(rows, dtype=torch.long)
    chosen = diversify(asked, recent, 5, torch.full((rows,), 0.3), uniform(rows, 2))
    counts = torch.bincount(chosen, minlength=5)
    assert int(counts[3]) == 0
    assert float(stats.chisquare(counts[[0, 1, 2, 4]], np.array([0.7, 0.1, 0.1, 0.1]) * rows).pvalue) > 1e-4


def test_diversity_of_a_row_looks_at_its_own_actions() -> None:
    recent = torch.tensor([[0, 0, 1, 1, 1], [2, 2, 2, 0, 0], [-1, -1, -1, 1, 2]])
    chosen = diversify(torch.tensor([0, 2, 1]), recent, 3, torch.ones(3), torch.full((3, 2), 0.5))
    assert chosen.tolist() == [2, 1, 0]
