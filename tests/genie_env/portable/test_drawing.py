"""Graphs draw the numbers, actions and orders that :mod:`genie_env.rollout.sampling` draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genie_env.portable import drawing
from genie_env.rollout import sampling
from tests.helpers.graphs import evaluate

KEYS = np.array([0, 1, -1, 12345, 2**62, -(2**63), 987654321987654321])
STEPS = np.array([0, 1, 2, 3, 2**40, 5, 27_000])


@pytest.mark.parametrize("passes", [1, 3])
def test_uniform_numbers_are_those_of_the_engine_to_the_bit(passes: int) -> None:
    order = np.random.default_rng(0).permutation(64)
    expected = [sampling.counter_uniform(torch.tensor(KEYS), torch.tensor(STEPS), sampling.LANE_ACTION, 2)]
    for index in range(passes):
        lanes = [sampling.LANE_TOKENS] + [sampling.LANE_ORDER] * (index + 1 < passes)
        for lane in lanes:
            drawn = sampling.counter_uniform(torch.tensor(KEYS), torch.tensor(STEPS), lane + index * 64, 64)
            expected.append(drawn[:, order])
    lanes = drawing.lanes(order, passes)
    got = evaluate(lambda g, key, step: drawing.Uniform(g, key, step, lanes).take(len(lanes)), key=KEYS, step=STEPS)
    assert got.dtype == np.float32 and np.array_equal(got, torch.cat(expected, 1).numpy())


@pytest.mark.parametrize("num_actions", [2, 3, 6])
def test_actions_are_replaced_as_in_the_engine(num_actions: int) -> None:
    rng, rows = np.random.default_rng(num_actions), 500
    actions, recent = rng.integers(num_actions, size=rows), rng.integers(-1, num_actions, size=(rows, 5))
    chance, uniform = rng.random(rows).astype(np.float32), rng.random((rows, 2)).astype(np.float32)
    expected = sampling.diversify(
        torch.tensor(actions), torch.tensor(recent), num_actions, torch.tensor(chance), torch.tensor(uniform)
    )
    got = evaluate(
        lambda g, actions, recent, chance, uniform: drawing.diversify(g, actions, recent, num_actions, chance, uniform),
        actions=actions,
        recent=recent,
        chance=chance,
        uniform=uniform,
    )
    assert np.array_equal(got, expected.numpy()) and (got != actions).any()


@pytest.mark.parametrize("share", [1 / 16, 1 / 4, 9 / 16])
def test_tokens_are_decided_in_the_order_of_the_engine(share: float) -> None:
    rng = np.random.default_rng(1)
    sure, order = rng.random((200, 64)) < rng.random((200, 1)), rng.random((200, 64)).astype(np.float32)
    expected = sampling.decide(torch.tensor(sure), torch.tensor(order), share)
    got = evaluate(lambda g, sure, order: drawing.decide(g, sure, order, 64, share), sure=sure, order=order)
    assert np.array_equal(got, expected.numpy())


@pytest.mark.parametrize(("vocab", "top_p"), [(200, 0.9), (200, 1.0), (20, 0.9), (32, 0.5), (33, 1.0)])
def test_tokens_are_drawn_as_in_the_engine(vocab: int, top_p: float) -> None:
    """Against log-probabilities of the whole vocabulary, of which the graph only makes the best."""
    rng, rows, drawn = np.random.default_rng(vocab), 40, 8
    logits = (4 * rng.standard_normal((rows * drawn, vocab))).astype(np.float32)
    stay = (3 * rng.standard_normal((rows, drawn))).astype(np.float32)
    present, uniform = rng.integers(vocab, size=(rows, drawn)), rng.random((rows, drawn)).astype(np.float32)
    temperature = rng.choice([0.0, 0.5, 1.0], size=rows).astype(np.float32)
    change = torch.tensor(logits).view(rows, drawn, vocab).scatter(-1, torch.tensor(present)[..., None], -torch.inf)
    stays = torch.tensor(stay)[..., None]
    change = change.log_softmax(-1) + torch.nn.functional.logsigmoid(-stays)
    log_probs = change.scatter(-1, torch.tensor(present)[..., None], torch.nn.functional.logsigmoid(stays))
    expected = sampling.draw_tokens(log_probs, torch.tensor(temperature), top_p, torch.tensor(uniform))
    given = {"logits": logits, "stay": stay, "present": present, "uniform": uniform, "temperature": temperature}

    def part(index: int) -> np.ndarray:
        def build(g, logits, stay, present, uniform, temperature):
            best = drawing.candidates(g, logits, stay, present, vocab)
            tokens, certain = drawing.draw(g, best, temperature, top_p, uniform)
            return (tokens, certain, best.entropy_BM)[index]

        return evaluate(build, **given)

    tokens, certain, entropy = (part(index) for index in range(3))
    assert np.array_equal(tokens, expected.tokens_BM.numpy()) and (tokens != present).any()
    assert np.array_equal(certain, expected.certain_BM.numpy())
    np.testing.assert_allclose(entropy, expected.entropy_BM.nan_to_num().numpy(), atol=1e-5)
