"""The loss counts what is to be learned and weighs it independently of what came."""

from __future__ import annotations

import pytest
import torch

from genie_env.config import DynamicsConfig
from genie_env.models.dynamics import Dynamics
from training.dynamics.loss import token_loss


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_dynamics(vocab: int = 50) -> Dynamics:
    torch.manual_seed(0)
    model = Dynamics(DynamicsConfig(vocab_size=vocab, width=16, num_layers=1, num_heads=2, token_dim=8))
    with torch.no_grad():  # Far from its start, where all tokens stay.
        model.leave.weight.normal_(std=0.5)
        model.stay_bias.fill_(0.5)
    return model


def test_decided_tokens_do_not_count() -> None:
    model, head_out = small_dynamics(), torch.randn(3, 64, 9, generator=generator())
    context, target = torch.randint(50, (2, 3, 64), generator=generator(1))
    open_ = torch.rand(3, 64, generator=generator(2)) < 0.5
    scrambled = torch.where(open_, target, (target + 7) % 50)
    with torch.no_grad():
        before = token_loss(model, head_out, context, target, open_, 3.0)
        after = token_loss(model, head_out, context, scrambled, open_, 3.0)
    assert before.loss == after.loss and before.changed_accuracy == after.changed_accuracy


def test_what_is_twice_as_important_counts_as_if_it_were_there_twice() -> None:
    model, head_out = small_dynamics(), torch.randn(3, 64, 9, generator=generator())
    context, target = torch.randint(50, (2, 3, 64), generator=generator(1))
    open_ = torch.rand(3, 64, generator=generator(2)) < 0.5
    importance = torch.tensor([1.0, 2.0, 0.0])[:, None]
    with torch.no_grad():
        weighed = token_loss(model, head_out, context, target, open_, 3.0, importance)
        rows = torch.tensor([0, 1, 1])
        twice = token_loss(model, head_out[rows], context[rows], target[rows], open_[rows], 3.0)
        plain = token_loss(model, head_out, context, target, open_, 3.0)
    for ours, theirs in zip(weighed[:3], twice[:3], strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    assert torch.equal(weighed.nats, plain.nats), "what is noted of a place does not depend on how it was drawn"


def test_nats_are_the_likelihood_of_each_token_that_counts() -> None:
    model, head_out = small_dynamics(), torch.randn(3, 64, 9, generator=generator())
    context, target = torch.randint(50, (2, 3, 64), generator=generator(1))
    open_ = torch.rand(3, 64, generator=generator(2)) < 0.5
    with torch.no_grad():
        nats = token_loss(model, head_out, context, target, open_, 3.0).nats
        log_probs = model.log_probs(head_out, context).gather(-1, target[..., None])[..., 0]
    torch.testing.assert_close(nats, -log_probs * open_, rtol=1e-4, atol=1e-5)


def test_weight_of_a_token_does_not_depend_on_what_came() -> None:
    """Weighting by the outcome teaches a model to expect more changes than there are."""
    model = small_dynamics()
    context, open_ = torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool)
    gradients = []
    for weight in (1.0, 5.0):
        head_out = torch.zeros(1, 2, 9, requires_grad=True)
        token_loss(model, head_out, context, torch.tensor([[0, 1]]), open_, weight).loss.backward()
        assert head_out.grad is not None
        gradients.append(head_out.grad[0, :, -1])
    stayed, changed = gradients[1] / gradients[0]
    assert float(stayed) == pytest.approx(float(changed)) and float(stayed) > 1.1
