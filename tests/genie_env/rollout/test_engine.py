"""The engine dreams exactly what the network says, row by row, however long and however often rows are reset."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genie_env.config import SamplingConfig
from genie_env.rollout.engine import RolloutEngine, RolloutState, StepOutput
from genie_env.world import World
from tests.helpers.worlds import NUM_ACTIONS, VOCAB, random_world

ROWS, TOKENS = 5, 64


@pytest.fixture(scope="module")
def world() -> World:
    return random_world()


def prompt(rows: int, length: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randint(VOCAB, (rows, length, TOKENS), generator=generator),
        torch.randint(NUM_ACTIONS, (rows, length - 1), generator=generator),
        torch.randint(2**62, (rows,), generator=generator),
    )


def engine(world: World, top_p: float = 1.0, decode_steps: int = 1, max_changed: int = 64) -> RolloutEngine:
    return world.engine(SamplingConfig(top_p=top_p, decode_steps=decode_steps, max_changed=max_changed))


def play(
    engine: RolloutEngine, state: RolloutState, actions_TB: torch.Tensor, temperature: float = 1.0
) -> list[StepOutput]:
    temperature_B = torch.full((actions_TB.shape[1],), temperature)
    return [engine.step(state, actions_B, temperature_B) for actions_B in actions_TB]


def actions(steps: int, rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(NUM_ACTIONS, (steps, rows), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("compiling", [False, True])
def test_cached_rollout_equals_full_forward(world: World, compiling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every feature of a rolling cache is that of one pass over the row's whole history.

    Guards the ring's slots, the rotary times beyond their period, rows whose histories begin at other times, and what
    is written otherwise for the compiler.
    """
    dynamics, window = world.dynamics, world.dynamics.config.window
    rng = np.random.default_rng(0)
    cache = dynamics.empty_cache(ROWS)
    tokens: list[list[torch.Tensor]] = [[] for _ in range(ROWS)]
    played: list[list[int]] = [[] for _ in range(ROWS)]
    resets = 0
    with torch.inference_mode():
        for step in range(6 * window):
            for row in range(ROWS):
                if step == 0 or rng.random() < 0.08:
                    # From no past at all to a longer one than the window holds.
                    length = int(rng.integers(0, 2 * window + 2))
                    past, acts, _ = prompt(1, length + 1, seed=1000 * step + row)
                    dynamics.prefill(cache, torch.tensor([row]), past[:, :-1], acts)
                    tokens[row], played[row] = list(past[0, :-1]), acts[0].tolist()
                    resets += step > 0
                tokens[row].append(torch.from_numpy(rng.integers(VOCAB, size=TOKENS)))
                played[row].append(int(rng.integers(NUM_ACTIONS)))
            present = torch.stack([history[-1] for history in tokens])
            with monkeypatch.context() as patch:
                patch.setattr(torch.compiler, "is_compiling", lambda: compiling)
                features = dynamics.step(cache, present, torch.tensor([acts[-1] for acts in played]))
            for row in range(ROWS):
                full = dynamics.trunk(torch.stack(tokens[row])[None], torch.tensor(played[row])[None])
                torch.testing.assert_close(features[row], full[0, -1], rtol=0, atol=1e-5)
    assert resets > 5 and max(len(history) for history in tokens) > 3 * window


def test_dream_takes_what_the_full_forward_says_is_most_likely(world: World) -> None:
    tokens, acts, keys = prompt(ROWS, 3)
    mover = engine(world)
    state = mover.start(tokens, acts, keys)
    history, played = tokens, acts
    for actions_B in actions(3 * world.dynamics.config.window, ROWS):
        output = mover.step(state, actions_B, torch.zeros(ROWS))
        played = torch.cat([played, actions_B[:, None]], 1)
        with torch.inference_mode():
            features = world.dynamics.trunk(history, played)[:, -1]
            undecided = torch.full_like(history[:, -1], world.dynamics.mask_token)
            log_probs = world.dynamics.log_probs(world.dynamics.decode(features, undecided), history[:, -1])
        best = log_probs.topk(2, dim=-1).values
        clear = best[..., 0] - best[..., 1] > 1e-4
        assert torch.equal(output.tokens_BN[clear], log_probs.argmax(-1)[clear])
        history = torch.cat([history, output.tokens_BN[:, None]], 1)


def test_state_holds_the_last_frames_and_counts_steps(world: World) -> None:
    mover, context = engine(world), world.outcome.config.context_frames
    tokens, acts, keys = prompt(2, 2)
    state = mover.start(tokens, acts, keys)
    # A prompt shorter than the outcome head's memory begins with its first frame repeated.
    assert torch.equal(state.recent_BCN, torch.cat([tokens[:, :1].expand(-1, context - 2, -1), tokens], 1))
    outputs = play(mover, state, actions(6, 2))
    assert state.step_B.tolist() == [6, 6] and torch.equal(state.key_B, keys)
    assert torch.equal(state.recent_BCN, torch.stack([o.tokens_BN for o in outputs[-context:]], 1))
    assert torch.equal(state.tokens_BN, outputs[-1].tokens_BN)
    with torch.inference_mode():
        rewards, ended = world.outcome.predict(state.recent_BCN)
    assert torch.equal(outputs[-1].reward_B, rewards) and torch.equal(outputs[-1].terminated_B, ended)


@pytest.mark.parametrize("decode_steps", [1, 3])
def test_row_dreams_the_same_alone_and_in_any_batch(world: World, decode_steps: int) -> None:
    mover = engine(world, top_p=0.9, decode_steps=decode_steps)
    (tokens, acts, keys), moves = prompt(ROWS, 3), actions(20, ROWS)
    together = play(mover, mover.start(tokens, acts, keys), moves)
    for row in range(ROWS):
        one = slice(row, row + 1)
        alone = play(mover, mover.start(tokens[one], acts[one], keys[one]), moves[:, one])
        for single, batch in zip(alone, together, strict=True):
            assert torch.equal(single.tokens_BN[0], batch.tokens_BN[row])
            assert single.reward_B[0] == batch.reward_B[row] and single.terminated_B[0] == batch.terminated_B[row]


def test_rows_do_not_hear_each_other(world: World) -> None:
    mover = engine(world, top_p=0.9)
    (tokens, acts, keys), moves = prompt(ROWS, 3), actions(12, ROWS)
    before = play(mover, mover.start(tokens, acts, keys), moves)
    tokens[0], acts[0], keys[0], moves[:, 0] = (tokens[0] + 1) % VOCAB, 0, keys[0] + 1, 0
    after = play(mover, mover.start(tokens, acts, keys), moves)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one.tokens_BN[1:], other.tokens_BN[1:])
        assert not torch.equal(one.tokens_BN[0], other.tokens_BN[0])


def test_resetting_rows_goes_unnoticed_by_the_others(world: World) -> None:
    mover, moves = engine(world), actions(16, ROWS)
    start = prompt(ROWS, 3)
    undisturbed = play(mover, mover.start(*start), moves)
    state = mover.start(*start)
    disturbed = play(mover, state, moves[:7])
    mover.reset_rows(state, torch.tensor([1, 4]), *prompt(2, 6, seed=9))
    assert state.step_B.tolist() == [7, 0, 7, 7, 0]
    disturbed += play(mover, state, moves[7:])
    for one, other in zip(undisturbed, disturbed, strict=True):
        assert torch.equal(one.tokens_BN[[0, 2, 3]], other.tokens_BN[[0, 2, 3]])


def test_reset_row_forgets_everything_before(world: World) -> None:
    mover, again, moves = engine(world), prompt(1, 3, seed=5), actions(10, 1)
    fresh = play(mover, mover.start(*again), moves)
    state = mover.start(*prompt(1, 8))
    play(mover, state, actions(13, 1, seed=2))
    mover.reset_rows(state, torch.tensor([0]), *again)
    for one, other in zip(fresh, play(mover, state, moves), strict=True):
        assert torch.equal(one.tokens_BN, other.tokens_BN)


def test_clone_of_a_state_goes_on_alike_and_independently(world: World) -> None:
    mover, moves = engine(world), actions(9, ROWS)
    state = mover.start(*prompt(ROWS, 3))
    play(mover, state, actions(5, ROWS, seed=3))
    copy = state.clone()
    first = play(mover, state, moves)
    second = play(mover, copy, moves)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.tokens_BN, other.tokens_BN)


@pytest.mark.parametrize("top_p", [0.3, 1.0])
@pytest.mark.parametrize("decode_steps", [2, 4, 7])
def test_refinement_never_changes_a_decided_token(
    world: World, decode_steps: int, top_p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[torch.Tensor] = []
    decode = world.dynamics.decode

    def spy(features: torch.Tensor, decided: torch.Tensor) -> torch.Tensor:
        passes.append(decided.clone())
        return decode(features, decided)

    monkeypatch.setattr(world.dynamics, "decode", spy)
    mover = engine(world, top_p, decode_steps)
    state = mover.start(*prompt(ROWS, 3))
    mask = world.dynamics.mask_token
    for actions_B in actions(6, ROWS):
        passes.clear()
        output = mover.step(state, actions_B, torch.ones(ROWS))
        assert len(passes) == decode_steps and bool((passes[0] == mask).all())
        for before, after in zip(passes, [*passes[1:], output.tokens_BN], strict=True):
            decided = before != mask
            assert torch.equal(after[decided], before[decided])
            grown = (after != mask).sum(-1) - decided.sum(-1)
            assert bool(((grown > 0) | decided.all(-1)).all()), "every pass decides something"
        assert int(output.tokens_BN.max()) < VOCAB


def test_taken_rows_go_on_as_the_rows_they_were_taken_from(world: World) -> None:
    dreamer, (tokens, acts, keys) = engine(world), prompt(ROWS, 3)
    state = dreamer.start(tokens, acts, keys)
    play(dreamer, state, actions(3, ROWS))
    rows, on = torch.tensor([3, 0, 3, 4]), actions(6, ROWS, seed=1)
    taken = state.take(rows)
    frames = torch.stack([output.tokens_BN for output in play(dreamer, taken, on[:, rows])])
    wanted = torch.stack([output.tokens_BN for output in play(dreamer, state, on)])
    assert torch.equal(frames, wanted[:, rows])


def test_decoding_in_several_passes_at_temperature_zero_is_decoding_in_one(world: World) -> None:
    """At temperature 0 every token is sure at once, so there is nothing left to refine."""
    moves = actions(8, ROWS)
    runs = []
    for decode_steps in (1, 4):
        mover = engine(world, decode_steps=decode_steps)
        runs.append(play(mover, mover.start(*prompt(ROWS, 3)), moves, temperature=0.0))
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one.tokens_BN, other.tokens_BN)


def test_key_decides_the_draw_and_temperature_how_far_it_goes(world: World) -> None:
    mover, (tokens, acts, _), moves = engine(world), prompt(1, 3), actions(5, 2)
    twins = (tokens.expand(2, -1, -1), acts.expand(2, -1), torch.tensor([3, 4]))
    hot = play(mover, mover.start(*twins), moves[:, :1].expand(-1, 2))
    assert not torch.equal(hot[0].tokens_BN[0], hot[0].tokens_BN[1])
    cold = play(mover, mover.start(*twins), moves[:, :1].expand(-1, 2), temperature=0.0)
    assert all(torch.equal(output.tokens_BN[0], output.tokens_BN[1]) for output in cold)


def test_no_more_than_max_changed_tokens_change(world: World) -> None:
    tokens, acts, keys = prompt(ROWS, 3)
    for limit in (1, 5):
        mover = engine(world, max_changed=limit)
        state, before = mover.start(tokens, acts, keys), tokens[:, -1]
        most = 0
        for output in play(mover, state, actions(20, ROWS)):
            changed = (output.tokens_BN != before).sum(-1)
            most, before = max(most, int(changed.max())), output.tokens_BN
        assert most == limit, "the untrained test world would change far more"


def test_roll_is_its_steps_one_after_another(world: World) -> None:
    (tokens, acts, keys), moves = prompt(ROWS, 3), actions(7, ROWS)
    mover = world.engine(SamplingConfig(temperature=0.7))
    outputs = play(mover, mover.start(tokens, acts, keys), moves, temperature=0.7)
    rollout = mover.roll(tokens, acts, moves.T, keys_B=keys)
    assert rollout.rewards_BT is not None and rollout.ends_BT is not None
    for t, output in enumerate(outputs):
        rolled = rollout.tokens_BTN, rollout.rewards_BT, rollout.ends_BT, rollout.entropy_BT
        assert all(torch.equal(one[:, t], other) for one, other in zip(rolled, output[:4], strict=True))
        assert output.uncertainty_B is None and rollout.uncertainty_BT is None, "a single dynamics disagrees with none"
    hot = mover.roll(tokens, acts, moves.T, keys_B=keys, temperature_B=torch.full((ROWS,), 0.7))
    assert torch.equal(hot.tokens_BTN, rollout.tokens_BTN)


def test_forced_roll_predicts_every_frame_from_real_ones(world: World) -> None:
    (tokens, acts, keys), mover = prompt(ROWS, 9), engine(world)
    forced = mover.roll(
        tokens[:, :3], acts[:, :2], acts[:, 2:], keys_B=keys, temperature_B=torch.zeros(ROWS), force_BTN=tokens[:, 3:]
    )
    for t in range(6):
        fresh = mover.roll(
            tokens[:, : 3 + t], acts[:, : 2 + t], acts[:, 2 + t, None], keys_B=keys, temperature_B=torch.zeros(ROWS)
        )
        assert torch.equal(forced.tokens_BTN[:, t], fresh.tokens_BTN[:, 0])


def test_roll_without_an_outcome_head_draws_the_same_frames(world: World) -> None:
    (tokens, acts, keys), moves = prompt(ROWS, 3), actions(5, ROWS).T
    with_head, bare = engine(world), RolloutEngine(world.dynamics, None, engine(world).sampling)
    rollout = bare.roll(tokens, acts, moves, keys_B=keys)
    assert torch.equal(rollout.tokens_BTN, with_head.roll(tokens, acts, moves, keys_B=keys).tokens_BTN)
    assert rollout.rewards_BT is None and rollout.ends_BT is None
    with pytest.raises(ValueError, match="expected an engine with an outcome head"):
        bare.step(bare.start(tokens, acts, keys), moves[:, 0])


def test_first_step_says_which_random_numbers_a_roll_begins_with(world: World) -> None:
    (tokens, acts, keys), mover = prompt(1, 3), engine(world)
    rows = [mover.roll(tokens, acts, actions(1, 1), keys_B=keys, first_step=k).tokens_BTN for k in (0, 0, 4)]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
