"""An opponent learns beside the model and is part of all that the loop promises."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from genie_env.command import Interrupted
from genie_env.files.tensors import read_metadata
from tests.training.engine.test_distributed import Meeting, meeting  # noqa: F401
from training.engine.checkpoint import NotFiniteError
from training.engine.loop import CHECKPOINT, LoopConfig, fit
from training.engine.task import Opponent

LOOP = LoopConfig(n_updates=10, warmup=3, eval_every=20, checkpoint_every=4, precision="float32", ema=0.5)
BEGIN = 3
"""First step in which the opponent learns."""


class Duel:
    """A model that moves points towards others, and an opponent that tells them apart; both keep statistics."""

    def __init__(self, at: int = -1, how: Callable[[], float] = lambda: 1.0) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        self.network = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.opponent = Opponent(self.network, 1e-2)
        self.at, self.how, self.steps = at, how, 0

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        self.steps += 1
        factor = self.how() if step == self.at else 1.0
        x = torch.randn(8, 2, generator=generator)
        loss = (self.model(x) - 1).square().mean()
        if step >= BEGIN:
            scores = self.network(self.model(x).detach())
            loss = loss + factor * (scores.mean() - self.network(1 + 0.1 * x).mean())
        return loss, {"count": 1.0 + float(rng.integers(3))}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        return {}, {}


def stop() -> float:
    os.kill(os.getpid(), signal.SIGTERM)
    return 1.0


def crash() -> float:
    raise RuntimeError("power cut")


def assert_same_checkpoint(one: Path, other: Path) -> None:
    """Every byte of every tensor, and what stands beside them; their order in the file is not ours."""
    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys() and read_metadata(one) == read_metadata(other)
    for name, tensor in ours.items():
        assert tensor.numpy().tobytes() == theirs[name].numpy().tobytes(), name


@pytest.mark.parametrize("at", [0, BEGIN - 1, BEGIN, 7])
@pytest.mark.parametrize("how", [stop, crash])
def test_killed_run_resumes_to_the_same_bytes(tmp_path: Path, at: int, how: Callable[[], float]) -> None:
    fit(Duel(), LOOP, tmp_path / "whole", "duel")
    with pytest.raises((Interrupted, RuntimeError)):
        fit(Duel(at, how), LOOP, tmp_path / "killed", "duel")
    resumed = Duel()
    fit(resumed, LOOP, tmp_path / "killed", "duel")
    assert resumed.steps <= LOOP.n_updates - 4 * (at // 4)
    assert_same_checkpoint(tmp_path / "whole" / CHECKPOINT, tmp_path / "killed" / CHECKPOINT)


def test_opponent_moves_only_where_it_has_a_gradient(tmp_path: Path) -> None:
    first = {name: tensor.clone() for name, tensor in Duel().network.named_parameters()}
    fit(Duel(), replace(LOOP, n_updates=BEGIN), tmp_path, "duel")
    before = load_file(tmp_path / CHECKPOINT)
    assert all(torch.equal(before[f"opponent.{name}"], tensor) for name, tensor in first.items())
    assert not any(name.startswith("optimizer.1.") for name in before)
    fit(Duel(), LOOP, tmp_path, "duel")
    after = load_file(tmp_path / CHECKPOINT)
    assert not any(torch.equal(after[f"opponent.{name}"], tensor) for name, tensor in first.items() if tensor.ndim > 1)
    assert after["optimizer.1.0.step"] == LOOP.n_updates - BEGIN


def test_opponent_is_not_delivered(tmp_path: Path) -> None:
    assert [*fit(Duel(), LOOP, tmp_path, "duel").state_dict()] == [*Duel().model.state_dict()]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_update_of_an_opponent_that_is_not_finite_changes_nothing(tmp_path: Path, value: float) -> None:
    with pytest.raises(NotFiniteError, match="after step 7"):
        fit(Duel(7, lambda: value), LOOP, tmp_path / "ill", "duel")
    with pytest.raises(Interrupted):
        fit(Duel(6, stop), LOOP, tmp_path / "whole", "duel")
    kept, expected = (load_file(tmp_path / name / CHECKPOINT) for name in ("ill", "whole"))
    assert kept.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in kept.items())


def test_only_the_gradient_of_an_opponent_is_not_finite(tmp_path: Path) -> None:
    class Ill(Duel):
        def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
            loss, figures = super().loss(step, rng, generator)
            weight = next(self.network.parameters())
            return (loss + (weight - weight.detach()).abs().sqrt().sum() * 0 if step == 7 else loss), figures

    with pytest.raises(NotFiniteError, match="gradient norm of the opponent became nan after step 7"):
        fit(Ill(), LOOP, tmp_path, "duel")
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(tmp_path / CHECKPOINT).values())


def test_two_processes_learn_what_one_learns_from_as_many_parts(
    tmp_path: Path,
    meeting: Meeting,  # noqa: F811
) -> None:
    """Also before the opponent begins, and where it learns in one of the processes alone."""

    class Lone(Duel):
        def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
            learns = bool(rng.integers(2))
            return super().loss(step if learns else 0, rng, generator)

    for module in (Duel, Lone):
        names = [f"{module.__name__}{index}" for index in range(2)]
        both = [module(), module()]
        # Running statistics belong to one process; without them the two must agree.
        for task in (*both, whole := module()):
            for network in (task.model, task.network):
                network.register_module("1", nn.Identity())
        fit(whole, replace(LOOP, accumulate=2), tmp_path / names[0], "one")
        meeting.play([lambda task=task, name=names[1]: fit(task, LOOP, tmp_path / name, "two") for task in both])
        one, two = (load_file(tmp_path / name / CHECKPOINT) for name in names)
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
        for ours, theirs in zip(*(task.network.parameters() for task in both), strict=True):
            assert torch.equal(ours, theirs)
