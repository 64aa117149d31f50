"""A beam finds the dreams that are most likely under the dynamics: every one where it is wide enough, greedy at 1."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from genie_env.config import DynamicsConfig, SamplingConfig
from genie_env.models.dynamics import Dynamics
from genie_env.rollout import beam as beam_module
from genie_env.rollout.beam import search
from genie_env.rollout.best_frames import Frames, best_frames, best_sums
from genie_env.rollout.engine import RolloutEngine
from genie_env.rollout.state import Rollout
from genie_env.world import World
from tests.helpers.worlds import NUM_ACTIONS, VOCAB, ensemble_config, random_world

ROWS, TOKENS, STEPS = 4, 64, 6


@pytest.fixture(scope="module")
def world() -> World:
    return random_world()


def prompt(rows: int, vocab: int = VOCAB, tokens: int = TOKENS, steps: int = STEPS) -> tuple[torch.Tensor, ...]:
    """Prompts of three frames, the actions between them, the actions to dream with, and keys."""
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randint(vocab, (rows, 3, tokens), generator=generator),
        torch.randint(NUM_ACTIONS, (rows, 2), generator=generator),
        torch.randint(NUM_ACTIONS, (rows, steps), generator=generator),
        torch.randint(2**62, (rows,), generator=generator),
    )


def tiny_dynamics(vocab: int) -> Dynamics:
    """Four tokens of few values, whose chances depend on each other, on the past and on the action."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = DynamicsConfig(
            vocab_size=vocab,
            side=2,
            group=1,
            num_actions=NUM_ACTIONS,
            width=16,
            num_layers=1,
            num_heads=2,
            token_dim=8,
            window=4,
        )
        dynamics = Dynamics(config).requires_grad_(False).eval()
        for name, parameter in dynamics.named_parameters():
            if name.endswith(("out.weight", "down.weight", "leave.weight")):
                parameter.normal_(std=0.5)
        dynamics.stay_bias.fill_(0.0)
    return dynamics


class ByHand:
    """Chances by the chain rule, token by token, each from a forward pass over the whole past of one dream."""

    def __init__(
        self, dynamics: Dynamics, sampling: SamplingConfig, prompt_PN: torch.Tensor, actions_T: torch.Tensor
    ) -> None:
        self.dynamics, self.sampling, self.prompt_PN, self.actions_T = dynamics, sampling, prompt_PN, actions_T
        self.passes: dict[tuple[Any, ...], tuple[torch.Tensor, torch.Tensor]] = {}

    def dream(self, dream_TN: torch.Tensor) -> float:
        """Log-probability of a whole dream; minus infinity where a token changes that may not."""
        return sum(self.frame(torch.cat([self.prompt_PN, dream_TN[:t]]), frame) for t, frame in enumerate(dream_TN))

    def frame(self, past_TN: torch.Tensor, frame_N: torch.Tensor) -> float:
        current_N, total = past_TN[-1], 0.0
        decided_N = torch.full_like(current_N, self.dynamics.mask_token)
        for index in range(self.sampling.decode_steps):
            stay_N, log_probs_NV = self.decode(past_TN, decided_N)
            undecided = [n for n in range(len(current_N)) if decided_N[n] == self.dynamics.mask_token]
            may_change = sorted(undecided, key=lambda n: float(stay_N[n]))[: self.sampling.max_changed]
            if index + 1 == self.sampling.decode_steps:
                if any(frame_N[n] != current_N[n] for n in undecided if n not in may_change):
                    return -float("inf")
                return total + sum(float(log_probs_NV[n, frame_N[n]]) for n in undecided)
            entropy_N = -(log_probs_NV.exp() * log_probs_NV).sum(-1)
            first = max(may_change, key=lambda n: float(entropy_N[n]))
            total += float(log_probs_NV[first, frame_N[first]])
            decided_N[first] = frame_N[first]
        raise AssertionError

    def decode(self, past_TN: torch.Tensor, decided_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        key = (*past_TN.flatten().tolist(), *decided_N.tolist())
        if key not in self.passes:
            features_GD = self.dynamics.trunk(past_TN[None], self.actions_T[None, : len(past_TN)])[0, -1]
            head_out_NE = self.dynamics.decode(features_GD[None], decided_N[None])[0]
            read = self.dynamics.stay_logits(head_out_NE), self.dynamics.log_probs(head_out_NE, past_TN[-1])
            self.passes[key] = read
        return self.passes[key]


def log_probs(rollout: Rollout) -> torch.Tensor:
    assert rollout.log_prob_B is not None
    return rollout.log_prob_B


@pytest.mark.parametrize("decode_steps", [1, 3])
def test_beam_of_one_is_greedy(world: World, decode_steps: int) -> None:
    engine = world.engine(SamplingConfig(decode_steps=decode_steps, max_changed=16))
    tokens, acts, moves, keys = prompt(ROWS)
    greedy = engine.roll(tokens, acts, moves, keys_B=keys, temperature_B=torch.zeros(ROWS))
    searched = engine.roll(tokens, acts, moves, keys_B=keys, beam=1)
    assert greedy.rewards_BT is not None and greedy.ends_BT is not None and searched.rewards_BT is not None
    for ours, theirs in zip(searched[:4], greedy[:4], strict=True):
        assert ours is not None and theirs is not None and torch.equal(ours, theirs)
    assert greedy.log_prob_B is None and searched.log_prob_B is not None and bool((searched.log_prob_B < 0).all())


@pytest.mark.parametrize("kind", ["networks", "heads"])
def test_ensemble_is_searched_as_any_dynamics(kind: str) -> None:
    """Greedy at a beam of 1; with more passes, features of several trunks stay with their rows."""
    world = random_world(dynamics=ensemble_config(member_kind=kind))
    tokens, acts, moves, keys = prompt(2)
    engine = world.engine(SamplingConfig(decode_steps=2, max_changed=16))
    greedy = engine.roll(tokens, acts, moves, keys_B=keys, temperature_B=torch.zeros(2))
    assert torch.equal(engine.roll(tokens, acts, moves, keys_B=keys, beam=1).tokens_BTN, greedy.tokens_BTN)
    together = engine.roll(tokens, acts, moves, keys_B=keys, beam=3)
    alone = engine.roll(tokens[1:], acts[1:], moves[1:], keys_B=keys[1:], beam=3)
    assert torch.equal(alone.tokens_BTN[0], together.tokens_BTN[1])
    torch.testing.assert_close(log_probs(alone)[0], log_probs(together)[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("vocab", "max_changed", "decode_steps"), [(2, 4, 1), (2, 4, 2), (2, 4, 3), (3, 2, 1)])
def test_exhaustive_beam_equals_brute_force_and_is_a_distribution(
    vocab: int, max_changed: int, decode_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All dreams of two frames: the best one is returned, each is kept once, and greedy is none better."""
    dynamics = tiny_dynamics(vocab)
    sampling = SamplingConfig(decode_steps=decode_steps, max_changed=max_changed)
    engine = RolloutEngine(dynamics, None, sampling)
    tokens, acts, moves, keys = prompt(2, vocab, 4, 2)
    kept: list[Frames] = []
    monkeypatch.setattr(beam_module, "best_frames", lambda *args: kept.append(best_frames(*args)) or kept[-1])
    possible = vocab ** (max_changed * 2)
    searched = engine.roll(tokens, acts, moves, keys_B=keys, beam=possible)
    greedy = engine.roll(tokens, acts, moves, keys_B=keys, temperature_B=torch.zeros(2))
    for row in range(2):
        chance = ByHand(dynamics, sampling, tokens[row], torch.cat([acts[row], moves[row]])).dream
        every = torch.tensor([*itertools.product(range(vocab), repeat=4)])
        first = [frame_N for frame_N in every if chance(frame_N[None]) > -float("inf")]
        assert len(first) == vocab**max_changed
        dreams = [torch.stack(pair) for pair in itertools.product(first, every)]
        scores = torch.tensor([chance(dream_TN) for dream_TN in dreams])
        best = int(scores.argmax())
        assert torch.equal(searched.tokens_BTN[row], dreams[best])
        assert float(log_probs(searched)[row]) == pytest.approx(float(scores[best]), abs=1e-4)
        assert float(log_probs(searched)[row]) >= chance(greedy.tokens_BTN[row]) - 1e-4
        # Each dream once, or the sorted scores would differ.
        found = kept[-1].score_BK[row]
        torch.testing.assert_close(found, scores[scores > -torch.inf].sort(descending=True).values, atol=1e-4, rtol=0)
        if max_changed == 4:
            assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("decode_steps", [1, 2])
def test_log_probability_is_that_of_the_dream_and_wider_beams_find_better_ones(decode_steps: int) -> None:
    dynamics = tiny_dynamics(4)
    sampling = SamplingConfig(decode_steps=decode_steps)
    engine = RolloutEngine(dynamics, None, sampling)
    tokens, acts, moves, keys = prompt(ROWS, 4, 4)
    found = {beam: engine.roll(tokens, acts, moves, keys_B=keys, beam=beam) for beam in (1, 2, 8, 64)}
    for beam in (2, 8, 64):
        for row in range(ROWS):
            by_hand = ByHand(dynamics, sampling, tokens[row], torch.cat([acts[row], moves[row]]))
            expected = by_hand.dream(found[beam].tokens_BTN[row])
            assert float(log_probs(found[beam])[row]) == pytest.approx(expected, abs=1e-3)
    totals = [float(log_probs(found[beam]).sum()) for beam in (2, 8, 64)]
    assert totals == sorted(totals) and totals[0] < totals[-1]
    assert not torch.equal(found[1].tokens_BTN, found[64].tokens_BTN)


@pytest.mark.parametrize("decode_steps", [1, 2])
def test_row_searches_the_same_alone_and_in_any_batch(world: World, decode_steps: int) -> None:
    engine = world.engine(SamplingConfig(decode_steps=decode_steps, max_changed=16))
    tokens, acts, moves, keys = prompt(ROWS)
    together = engine.roll(tokens, acts, moves, keys_B=keys, beam=3)
    for row in range(ROWS):
        one = slice(row, row + 1)
        alone = engine.roll(tokens[one], acts[one], moves[one], keys_B=keys[one], beam=3)
        assert torch.equal(alone.tokens_BTN[0], together.tokens_BTN[row])
        torch.testing.assert_close(log_probs(alone)[0], log_probs(together)[row], rtol=0, atol=1e-4)
    other = engine.roll(tokens, acts, moves, keys_B=keys + 1, beam=3)
    assert torch.equal(other.tokens_BTN, together.tokens_BTN), "nothing is drawn"


def test_dream_goes_on_from_the_state_at_its_end(world: World) -> None:
    """The memory that was copied row by row is that of the dream that was chosen, and of no other."""
    engine = world.engine(SamplingConfig(max_changed=16))
    tokens, acts, moves, keys = prompt(ROWS)
    state = engine.start(tokens, acts, keys)
    rollout, state = search(engine.dynamics, engine.outcome, engine.sampling, state, moves, 4)
    fresh = engine.start(torch.cat([tokens, rollout.tokens_BTN], dim=1), torch.cat([acts, moves], dim=1), keys)
    assert torch.equal(state.recent_BCN, fresh.recent_BCN) and state.step_B.tolist() == [STEPS] * ROWS
    present, action = state.tokens_BN, moves[:, 0]
    with torch.inference_mode():
        ours, theirs = (engine.dynamics.step(one.cache, present, action) for one in (state, fresh))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_best_sums_equal_brute_force() -> None:
    generator = torch.Generator().manual_seed(0)
    for lists, choices, count in [(1, 4, 3), (2, 3, 9), (3, 4, 10), (5, 3, 40), (6, 2, 64)]:
        scores = torch.randn(2, lists, choices, generator=generator).sort(-1, descending=True).values
        scores[1, 0, 1:] = -torch.inf
        sums, picks = best_sums(scores, count)
        for row in range(2):
            every = sorted((sum(s) for s in itertools.product(*scores[row].tolist())), reverse=True)[:count]
            torch.testing.assert_close(sums[row], torch.tensor(every), atol=1e-5, rtol=0)
            chosen = torch.stack([scores[row, m][picks[row, :, m]] for m in range(lists)]).sum(0)
            possible = sums[row] > -torch.inf
            torch.testing.assert_close(chosen[possible], sums[row][possible], atol=1e-5, rtol=0)
            real = picks[row][possible]
            assert len({tuple(pick) for pick in real.tolist()}) == len(real), "no choice twice"


class Steps:
    """The memory of :class:`GardenPath`."""

    def __init__(self, seen_B: torch.Tensor) -> None:
        self.seen_B = seen_B

    def clone(self) -> Steps:
        return Steps(self.seen_B.clone())

    def take(self, rows_R: torch.Tensor) -> Steps:
        return Steps(self.seen_B[rows_R])


class GardenPath(torch.nn.Module):
    """A dynamics without a network: from 0 a step to 1 looks best, and after it nothing is certain any more."""

    chances = torch.tensor([[0.0, 0.6, 0.4], [0.3, 0.4, 0.3], [0.05, 0.05, 0.9]])
    mask_token = 3
    device = torch.device("cpu")
    config: Any = SimpleNamespace(vocab_size=3)

    def empty_cache(self, rows: int) -> Steps:
        return Steps(torch.zeros(rows, dtype=torch.long))

    def prefill(self, cache: Steps, rows_R: torch.Tensor, tokens_RTN: torch.Tensor, actions_RT: torch.Tensor) -> None:
        cache.seen_B[rows_R] = tokens_RTN.shape[1]

    def step(self, cache: Steps, tokens_BN: torch.Tensor, actions_B: torch.Tensor) -> torch.Tensor:
        cache.seen_B = cache.seen_B + 1
        return self.chances[tokens_BN]

    def decode(self, features: torch.Tensor, decided_BN: torch.Tensor) -> torch.Tensor:
        return features

    def stay_logits(self, head_out: torch.Tensor) -> torch.Tensor:
        return torch.zeros(head_out.shape[:-1])

    def log_probs(self, head_out: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        return head_out.log()


def test_beam_leaves_the_garden_path_of_any_dynamics() -> None:
    engine = RolloutEngine(GardenPath(), None, SamplingConfig())
    start = (
        torch.zeros(2, 1, 1, dtype=torch.long),
        torch.zeros(2, 0, dtype=torch.long),
        torch.zeros(2, 3, dtype=torch.long),
    )
    greedy, wide = (engine.roll(*start, keys_B=torch.arange(2), beam=beam) for beam in (1, 2))
    assert greedy.tokens_BTN[:, :, 0].tolist() == [[1, 1, 1]] * 2
    assert wide.tokens_BTN[:, :, 0].tolist() == [[2, 2, 2]] * 2
    assert torch.allclose(log_probs(greedy).exp(), torch.tensor(0.6 * 0.4 * 0.4))
    assert torch.allclose(log_probs(wide).exp(), torch.tensor(0.4 * 0.9 * 0.9))


def test_memory_without_rows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Steps, "take")
    engine = RolloutEngine(GardenPath(), None, SamplingConfig())
    nothing = torch.zeros(1, 1, dtype=torch.long)
    with pytest.raises(TypeError, match=r"Steps: expected a memory .* take"):
        engine.roll(nothing[None], nothing[:, :0], nothing, keys_B=nothing[0], beam=2)


@pytest.mark.parametrize("beam", [0, -1, 10, 2000, 2.0, True, "4"])
def test_beam_that_cannot_be_kept_is_refused(beam: Any) -> None:
    engine = RolloutEngine(GardenPath(), None, SamplingConfig())
    nothing = torch.zeros(1, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"beam: expected an integer from 1 to 9 \(there are 9 .*, got"):
        engine.roll(nothing[:, :1, None], nothing[:, :0], nothing, keys_B=nothing[0, :1], beam=beam)


def test_beam_draws_nothing(world: World) -> None:
    tokens, acts, moves, keys = prompt(1)
    wrongs: list[dict[str, Any]] = [
        {"temperature_B": torch.ones(1)},
        {"force_BTN": tokens[:, :1].expand(-1, STEPS, -1)},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="beam: expected temperature 0 and no forced frames"):
            world.engine().roll(tokens, acts, moves, keys_B=keys, beam=2, **wrong)
    with pytest.raises(ValueError, match="beam: expected an integer from 1 to 1024, got 1025"):
        world.engine().roll(tokens, acts, moves, keys_B=keys, beam=1025)
