"""Corrupted contexts are corrupted as much as asked, and targets never."""

from __future__ import annotations

import pytest
import torch

from genie_env.config import DynamicsConfig
from genie_env.models.dynamics import Dynamics
from training.data.dataset import ClipBatch
from training.dynamics.corruption import corrupt_context
from training.dynamics.loss import next_frame_loss


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_corruption_replaces_no_more_than_the_rate_and_leaves_its_input(rate: float) -> None:
    tokens = torch.randint(1000, (400, 10, 64), generator=generator())
    before = tokens.clone()
    corrupted = corrupt_context(tokens, rate, 1000, generator(1))
    assert torch.equal(tokens, before)
    assert int(corrupted.min()) >= 0 and int(corrupted.max()) < 1000
    share_B = (corrupted != tokens).float().mean((1, 2))
    # Each row has its own rate, uniform below the highest; 640 tokens tell it to within a few hundredths.
    assert float(share_B.max()) <= rate + 5 * (rate * (1 - rate) / 640) ** 0.5
    assert float(share_B.mean()) == pytest.approx(rate / 2, abs=0.06 * rate)
    assert rate < 0.5 or float(share_B.std()) > 0.5 * rate / 12**0.5


def small_dynamics(vocab: int = 50) -> Dynamics:
    torch.manual_seed(0)
    model = Dynamics(DynamicsConfig(vocab_size=vocab, width=16, num_layers=1, num_heads=2, token_dim=8))
    with torch.no_grad():  # Far from its start, where all tokens stay.
        model.leave.weight.normal_(std=0.5)
        model.stay_bias.fill_(0.5)
    return model


def test_corruption_never_touches_targets() -> None:
    """The targets of a training step are those of the recording, whatever was done to the context."""
    model = small_dynamics()
    clean = torch.randint(50, (2, 5, 64), generator=generator())
    clip = ClipBatch(clean, torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.bool))
    undecided = torch.full((2, 4, 64), model.mask_token)
    for context in (clean[:, :-1], corrupt_context(clean[:, :-1], 1.0, 50, generator(2))):
        with torch.no_grad():
            result = next_frame_loss(model, clip, context, undecided, changed_weight=1.0)
            features = model.trunk(context, clip.actions_BT)
            head_out = model.decode(features.flatten(0, 1), undecided.flatten(0, 1)).view(2, 4, 64, -1)
            log_probs = model.log_probs(head_out, context)
        target = clean[:, 1:]
        changes = target != context
        nll = -log_probs.gather(-1, target[..., None]).sum() / changes.sum()
        assert float(result.loss) == pytest.approx(float(nll), rel=1e-4), "the likelihood of all tokens"
        hits = (log_probs.argmax(-1) == target)[changes].float().mean()
        assert float(result.changed_accuracy) == pytest.approx(float(hits), abs=1e-6)
