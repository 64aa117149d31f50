"""An ensemble predicts the mean of its members, and says how far they are apart."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from genie_env.config import SamplingConfig
from genie_env.files.tensors import weights_of
from genie_env.models.dynamics import parallel_log_probs
from genie_env.models.ensemble import DynamicsEnsemble, disagreement, mixture
from genie_env.models.registry import make_dynamics
from genie_env.rollout.engine import Rollout, RolloutEngine
from tests.helpers.worlds import NUM_ACTIONS, VOCAB, ensemble_config, random_world

STEPS = 9
KINDS = ["networks", "heads"]


def ensemble(kind: str) -> DynamicsEnsemble:
    """Three members with random weights."""
    return random_world(dynamics=ensemble_config(member_kind=kind)).dynamics


def clips(rows: int, steps: int = STEPS) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(VOCAB, (rows, steps, 64), generator=generator)
    return tokens, torch.randint(NUM_ACTIONS, (rows, steps), generator=generator)


def head_out(model: DynamicsEnsemble) -> tuple[torch.Tensor, torch.Tensor]:
    """What the heads say of random frames, some tokens of the next ones decided; and the present frames."""
    tokens, actions = clips(2)
    is_open = torch.rand(2, 64, generator=torch.Generator().manual_seed(2)) < 0.7
    decided = torch.where(is_open, model.mask_token, tokens[:, 0])
    return model.decode(model.trunk(tokens, actions)[:, -1], decided), tokens[:, -1]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_probabilities_are_the_mean_of_the_members(kind: str) -> None:
    model = ensemble(kind)
    out, current = head_out(model)
    parts = out.chunk(3, dim=-1)
    probs = torch.stack([m.log_probs(part, current).exp() for m, part in zip(model.members, parts, strict=True)])
    mixed = model.log_probs(out, current)
    torch.testing.assert_close(mixed.exp(), probs.mean(0), rtol=1e-5, atol=1e-7)
    assert (probs.std(0) > 1e-3).any(), "the members differ"
    torch.testing.assert_close(mixed.exp().sum(-1), torch.ones(2, 64))
    stays = mixed.gather(-1, current[..., None])[..., 0]
    torch.testing.assert_close(model.stay_logits(out).sigmoid(), stays.exp(), rtol=1e-5, atol=1e-7)
    changes = model.change_log_probs(out, current)
    torch.testing.assert_close(changes.exp().sum(-1), torch.ones(2, 64))
    assert (changes.gather(-1, current[..., None]) == -torch.inf).all()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_certain_members_that_contradict_each_other_stay_finite(kind: str) -> None:
    model = ensemble(kind)
    for member, bias in zip(model.members, (300.0, -300.0, 300.0), strict=True):
        member.stay_bias.fill_(bias)
    out, current = head_out(model)
    logits = model.stay_logits(out)
    torch.testing.assert_close(logits.sigmoid(), torch.full_like(logits, 2 / 3))
    log_probs = model.member_log_probs(out, current)
    apart = disagreement(log_probs, mixture(log_probs))
    assert apart.isfinite().all() and (apart > 0.6).all() and (apart <= math.log(3) + 1e-6).all()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_disagreement_is_the_entropy_of_the_mixture_less_that_of_the_members(kind: str) -> None:
    model = ensemble(kind)
    out, current = head_out(model)
    log_probs = model.member_log_probs(out, current).double()
    probs = log_probs.exp()
    entropies = -(probs * log_probs).sum(-1).mean(0)
    whole = -(probs.mean(0) * probs.mean(0).log()).sum(-1)
    apart = disagreement(log_probs, mixture(log_probs))
    torch.testing.assert_close(apart, whole - entropies)
    assert (apart > 0.01).any() and (apart <= math.log(3)).all()
    agreeing = log_probs[:1].expand(3, -1, -1, -1)
    assert float(disagreement(agreeing, mixture(agreeing)).max()) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_cached_steps_equal_whole_clips(kind: str) -> None:
    model = ensemble(kind)
    tokens, actions = clips(3)
    cache = model.empty_cache(3)
    model.prefill(cache, torch.arange(3), tokens[:, :4], actions[:, :4])
    stepped = [model.step(cache, tokens[:, t], actions[:, t]) for t in range(4, STEPS)]
    torch.testing.assert_close(torch.stack(stepped, 1), model.trunk(tokens, actions)[:, 4:], rtol=1e-4, atol=1e-5)
    assert len(cache.caches) == (3 if kind == "networks" else 1)


def roll(model: DynamicsEnsemble, rows: slice, decode_steps: int = 1) -> Rollout:
    tokens, actions = clips(7)
    engine = RolloutEngine(model, None, SamplingConfig(decode_steps=decode_steps, max_changed=32))
    actions_BT = actions.repeat(1, 2)[rows]
    return engine.roll(tokens[rows, :4], actions[rows, :3], actions_BT, keys_B=torch.arange(7)[rows])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decode_steps", [1, 3])
def test_a_row_is_the_same_to_the_byte_alone_and_among_others(kind: str, decode_steps: int) -> None:
    model = ensemble(kind)
    together = roll(model, slice(None), decode_steps)
    assert together.uncertainty_BT is not None and (together.uncertainty_BT > 0).all()
    for row in (0, 3, 6):
        alone = roll(model, slice(row, row + 1), decode_steps)
        for name in ("tokens_BTN", "entropy_BT", "uncertainty_BT"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[row]), name


@pytest.mark.parametrize("kind", KINDS)
def test_more_passes_draw_other_tokens_and_measure_the_same_disagreement(kind: str) -> None:
    model = ensemble(kind)
    one, three = (roll(model, slice(None), passes) for passes in (1, 3))
    assert not torch.equal(one.tokens_BTN[:, 0], three.tokens_BTN[:, 0])
    assert one.uncertainty_BT is not None and three.uncertainty_BT is not None
    assert torch.equal(one.uncertainty_BT[:, 0], three.uncertainty_BT[:, 0])


def test_heads_share_their_trunk_and_networks_share_nothing() -> None:
    networks, heads = (ensemble(kind) for kind in KINDS)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (networks, heads)]
    one = sum(p.numel() for p in networks.members[0].parameters())
    assert sizes[0] == 3 * one and one < sizes[1] < 2.5 * one
    assert sum(t.numel() for t in weights_of(heads).values()) == sizes[1]
    matrices = [id(p) for p in heads.hidden_matrices()]
    assert len(matrices) == len(set(matrices))


def test_a_copy_of_a_shared_trunk_is_shared() -> None:
    copied = copy.deepcopy(ensemble("heads"))
    assert copied.members[1].embed is copied.members[0].embed
    fresh = make_dynamics(ensemble_config(member_kind="heads"))
    fresh.load_state_dict(copied.state_dict())
    assert torch.equal(fresh.members[2].leave.weight, copied.members[2].leave.weight)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_first_members_are_the_very_same(kind: str) -> None:
    model = ensemble(kind)
    tokens, actions = clips(2)
    one, two = model.first(1), model.first(2)
    assert one is model.members[0] and model.first(3).members[2] is model.members[2]
    each = [parallel_log_probs(member, tokens, actions).exp() for member in model.members]
    torch.testing.assert_close(parallel_log_probs(two, tokens, actions).exp(), (each[0] + each[1]) / 2)
    for count in (0, 4):
        with pytest.raises(ValueError, match=f"members: expected an integer from 1 to 3, got {count}"):
            model.first(count)


@pytest.mark.parametrize("kind", KINDS)
def test_a_beam_of_one_dreams_what_temperature_zero_does(kind: str) -> None:
    model, (tokens, actions) = ensemble(kind), clips(2)
    engine = RolloutEngine(model, None, SamplingConfig(max_changed=8))
    prompt = tokens[:, :4], actions[:, :3], actions[:, 4:]
    cold = engine.roll(*prompt, keys_B=torch.arange(2), temperature_B=torch.zeros(2))
    beams = [engine.roll(*prompt, keys_B=torch.arange(2), beam=beam) for beam in (1, 4)]
    assert torch.equal(beams[0].tokens_BTN, cold.tokens_BTN)
    assert beams[0].log_prob_B is not None and beams[1].log_prob_B is not None
    assert (beams[1].log_prob_B >= beams[0].log_prob_B - 1e-4).all()
