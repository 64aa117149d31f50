"""A discriminator's gradients: each loss reaches one network, and the model's is as heavy as was asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from training.engine.adversarial import AdversarialConfig, Judgement, adversarial_loss, judge


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_each_loss_reaches_its_own_network_and_the_models_has_the_weight_asked_for(weight: float) -> None:
    torch.manual_seed(0)
    model, discriminator = nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    x, real = torch.randn(16, 3), torch.randn(16, 2)
    made = model(x)
    loss = (made - 1).square().mean()
    plain = torch.autograd.grad(loss, [*model.parameters()], retain_graph=True)
    scores = Judgement(discriminator(real), discriminator(made.detach()), judge(discriminator, made))
    total, figures = adversarial_loss(loss, scores, model.weight, weight)
    total.backward()
    assert model.weight.grad is not None
    added = model.weight.grad - plain[0]
    assert float(added.norm()) == pytest.approx(weight * float(plain[0].norm()), rel=1e-3)
    hinge = (torch.relu(1 - discriminator(real)).mean() + torch.relu(1 + discriminator(made.detach())).mean()) / 2
    expected = torch.autograd.grad(hinge, [*discriminator.parameters()])
    for parameter, gradient in zip(discriminator.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert float(figures["discriminator_loss"]) == pytest.approx(float(hinge.detach()))


def test_a_discriminator_that_only_learns_leaves_the_model_alone() -> None:
    torch.manual_seed(0)
    model, discriminator, x = nn.Linear(3, 2), nn.Linear(2, 1), torch.randn(4, 3)
    made = model(x)
    scores = Judgement(discriminator(torch.randn(4, 2)), discriminator(made.detach()), None)
    total, figures = adversarial_loss(made.square().mean(), scores, model.weight, 1.0)
    plain = torch.autograd.grad(made.square().mean(), model.weight, retain_graph=True)[0]
    total.backward()
    assert torch.equal(model.weight.grad, plain) and discriminator.weight.grad is not None  # type: ignore[arg-type]
    assert "adversarial_factor" not in figures


def test_it_teaches_from_its_share_of_the_updates_on_learns_a_little_earlier_and_never_at_weight_zero() -> None:
    config = AdversarialConfig(adversarial_weight=0.5, adversarial_start=0.25)
    at = (0.0, 0.14, 0.16, 0.24, 0.25, 1.0)
    assert [config.has_discriminator(progress) for progress in at] == [False, False, True, True, True, True]
    assert [config.discriminator_teaches(progress) for progress in at] == [False] * 4 + [True] * 2
    off = AdversarialConfig(adversarial_start=0.0)
    assert not off.has_discriminator(1.0) and not off.discriminator_teaches(1.0)


@pytest.mark.parametrize(
    "setting",
    [
        *({"adversarial_weight": value} for value in (-0.1, float("nan"), float("inf"))),
        *({"adversarial_start": value} for value in (-0.1, 1.1, float("nan"))),
        *({"adversarial_rate": value} for value in (0.0, -1.0, float("nan"))),
    ],
)
def test_senseless_settings_are_named(setting: dict[str, Any]) -> None:
    name = next(iter(setting))
    with pytest.raises(ValueError, match=f"{name}: expected"):
        AdversarialConfig(**setting)
