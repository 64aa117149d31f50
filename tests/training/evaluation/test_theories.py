"""Every theory has a test that finds its fault where it is planted, and finds none where there is none."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from genie_env.measurement import select
from tests.helpers.held_out import WINDOW, TableDynamics, TableEngine, know_all
from training.diagnose import DiagnoseConfig, make_inputs
from training.engine.loop import CHECKPOINT
from training.evaluation import theories
from training.evaluation.diagnosis_inputs import DiagnosisInputs
from training.evaluation.findings import CAUSE, NO_CAUSE, NOT_APPLICABLE
from training.evaluation.held_out import HeldOutPlay

STEPS, TESTS = 10, 8


@pytest.fixture(scope="module")
def random_inputs(held_out: HeldOutPlay) -> DiagnosisInputs:
    """A world of random weights and everything it is tested on."""
    config = DiagnoseConfig("random", held_out.store.folder, num_tests=TESTS, steps=STEPS, max_frames=2000)
    return make_inputs(held_out, config)


Plant = Callable[..., DiagnosisInputs]


@pytest.fixture
def plant(random_inputs: DiagnosisInputs) -> Plant:
    """Makes inputs whose world knows all held-out play by heart, but for the given faults."""

    def make(
        dynamics: type[TableDynamics] = TableDynamics, engine: type[TableEngine] = TableEngine, **changes: Any
    ) -> DiagnosisInputs:
        play, world = random_inputs.play, copy.deepcopy(random_inputs.world)
        know_all(world, dynamics(world.config.dynamics, play.episodes).eval(), engine)
        return dataclasses.replace(random_inputs, play=dataclasses.replace(play, world=world), **changes)

    return make


def test_nothing_is_wrong_with_a_world_that_knows_all(plant: Plant) -> None:
    inputs = plant()
    verdicts = {finding.number: finding.verdict for finding in (theory(inputs) for theory in theories.THEORIES)}
    assert verdicts == {n: NOT_APPLICABLE if n == 8 else NO_CAUSE for n in range(1, 11)}


class TrainedWithMasks(TableDynamics):
    """Knows masked frames only: a whole one tells it nothing."""

    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        if not (tokens_BTN == self.mask_token).any():
            return tokens_BTN[..., None].float()
        frames_FN = torch.stack(list(self.table.values()))
        agreed = (tokens_BTN.flatten(0, 1)[:, None] == frames_FN).sum(-1)
        return super().trunk(frames_FN[agreed.argmax(1)].view_as(tokens_BTN), actions_BT)


def test_model_that_needs_masks_is_found(plant: Plant) -> None:
    found = theories.masking(plant(TrainedWithMasks))
    assert found.verdict == CAUSE and found.result.effect.value > 0.5
    assert set(found.result.compared) >= {"MSE with nothing masked", "masked"}


def test_masking_is_left_out_where_asked(plant: Plant) -> None:
    assert theories.masking(plant(TrainedWithMasks, test_masking=False)).verdict == NOT_APPLICABLE


class AfraidOfItself(TableEngine):
    """Leaves a mark on every frame, and stands still on a frame that bears it."""

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        drawn, present = super().draw(state, actions_B), state.recent_BCN[:, -1]
        marked = present[:, 4] == 7
        drawn[marked] = present[marked]
        drawn[:, 4] = 7
        return drawn


def test_errors_that_feed_themselves_are_found(plant: Plant) -> None:
    found = theories.teacher_forcing(plant(engine=AfraidOfItself))
    assert found.verdict == CAUSE and found.result.effect.value > 0.5
    measured = {name: values.mean() for name, values in found.result.compared.items()}
    assert measured["MSE from its own frames"] > measured["MSE from real frames"]
    assert measured["PSNR in dB from its own frames"] < measured["PSNR in dB from real frames"]


def test_what_cannot_be_predicted_is_not_held_against_the_dream(plant: Plant) -> None:
    inputs = plant(engine=AfraidOfItself)
    served = inputs.clips._replace(served_CH=np.ones_like(inputs.clips.served_CH))
    assert theories.teacher_forcing(dataclasses.replace(inputs, clips=served)).verdict == NOT_APPLICABLE


class LostAfterLongContext(TableEngine):
    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        return state.recent_BCN[:, -1] if state.given > WINDOW else super().draw(state, actions_B)


class LostAfterShortContext(TableEngine):
    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        return state.recent_BCN[:, -1] if state.given < WINDOW else super().draw(state, actions_B)


@pytest.mark.parametrize("engine", [LostAfterLongContext, LostAfterShortContext])
def test_context_of_another_length_than_in_training_is_found(plant: Plant, engine: type[TableEngine]) -> None:
    found = theories.context_length(plant(engine=engine))
    assert found.verdict == CAUSE and found.result.effect.value == 1.0


def test_context_is_not_tested_without_long_episodes(plant: Plant) -> None:
    assert theories.context_length(plant(long=None)).verdict == NOT_APPLICABLE


class Drifting(TableEngine):
    """Wears off: in step t about t hundredths of all tokens become others."""

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        drawn = super().draw(state, actions_B)
        generator = torch.Generator().manual_seed(state.step_B)
        worn = torch.rand(drawn.shape, generator=generator) < state.step_B / 100
        return torch.where(worn, torch.randint(1000, drawn.shape, generator=generator), drawn)


def test_tokens_that_drift_away_are_found_and_more_of_them_later(plant: Plant) -> None:
    found = theories.drift(plant(engine=Drifting))
    assert found.verdict == CAUSE
    dreamed, real = (np.array([one.value for one in select(found.result.curve, source=s)]) for s in ("dreamed", "real"))
    assert (dreamed - real)[-1] > (dreamed - real)[0] + 0.1
    assert [one.horizon for one in found.result.curve] == 2 * sorted({one.horizon for one in found.result.curve})
    assert theories.drift(plant()).result.effect.value == pytest.approx(0)


class WildOffTheTable(TableEngine):
    """Actions that the recorded players did not take lead to noise."""

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        drawn = super().draw(state, actions_B)
        stuck = (drawn == state.recent_BCN[:, -1]).all(-1)
        noise = torch.randint(1000, drawn.shape, generator=torch.Generator().manual_seed(state.step_B))
        return torch.where(stuck[:, None], noise, drawn)


def test_dreams_that_random_actions_tear_apart_are_found(plant: Plant) -> None:
    found = theories.random_against_inferred(plant(engine=WildOffTheTable))
    assert found.verdict == CAUSE


def test_other_futures_alone_are_no_fault(plant: Plant) -> None:
    # Off the table the dream stands still: not what came, yet nothing that could not be.
    found = theories.random_against_inferred(plant())
    assert found.verdict == NO_CAUSE and not np.isnan(found.result.effect.value)


class Shifting(nn.Module):
    """Draws every picture one pixel too far to the right."""

    def __init__(self, tokenizer: nn.Module) -> None:
        super().__init__()
        self.encode, self._tokenizer = tokenizer.encode, tokenizer

    def decode(self, tokens_BN: torch.Tensor) -> torch.Tensor:
        return self._tokenizer.decode(tokens_BN).roll(1, dims=2)


def test_tokenizer_whose_errors_pile_up_is_found(plant: Plant) -> None:
    inputs = plant()
    assert theories.quantisation(inputs).result.effect.value == 0.0
    inputs.world.tokenizer = Shifting(inputs.world.tokenizer)
    assert theories.quantisation(inputs).verdict == CAUSE


class LazyInUse(TableDynamics):
    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        return super().trunk(tokens_BTN, actions_BT) if self.training else tokens_BTN[..., None].float()


class LazyWithoutGradients(TableDynamics):
    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        return super().trunk(tokens_BTN, actions_BT) if torch.is_grad_enabled() else tokens_BTN[..., None].float()


@pytest.mark.parametrize("dynamics", [LazyInUse, LazyWithoutGradients])
def test_model_that_is_better_while_it_trains_is_found(plant: Plant, dynamics: type[TableDynamics]) -> None:
    assert theories.modes(plant(dynamics)).verdict == CAUSE


class Normalised(TableDynamics):
    """Knows nothing where a normalised input of mean 0 is far from it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.norm = nn.BatchNorm1d(1)

    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        known = bool(self.norm(torch.linspace(-1, 1, 8)[:, None]).mean().abs() < 0.5)
        return super().trunk(tokens_BTN, actions_BT) if known else tokens_BTN[..., None].float()


def test_stale_running_statistics_are_found(plant: Plant) -> None:
    inputs = plant(Normalised)
    assert theories.statistics(inputs).verdict == NO_CAUSE
    inputs = plant(Normalised)
    inputs.world.dynamics.norm.running_mean.fill_(50.0)
    assert theories.statistics(inputs).verdict == CAUSE


@pytest.mark.parametrize(("raw", "average", "verdict"), [(1, 1, NO_CAUSE), (1, 0, CAUSE), (0, 1, NO_CAUSE)])
def test_averaged_weights_that_lag_behind_are_found(
    plant: Plant, tmp_path: Path, raw: int, average: int, verdict: str
) -> None:
    tensors = {
        f"{kind}.skill": torch.full((1,), float(skill)) for kind, skill in (("model", raw), ("average", average))
    }
    save_file(tensors, tmp_path / CHECKPOINT)
    assert theories.statistics(plant(checkpoint=tmp_path)).verdict == verdict


def test_checkpoint_of_another_network_is_refused_by_name(random_inputs: DiagnosisInputs, tmp_path: Path) -> None:
    inputs = dataclasses.replace(random_inputs, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=rf"{CHECKPOINT}: missing; expected a checkpoint"):
        theories.statistics(inputs)
    save_file({"model.position": torch.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match=rf"{CHECKPOINT}: missing tensors"):
        theories.statistics(inputs)


def test_network_that_sees_the_future_is_found(random_inputs: DiagnosisInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    found = theories.causality(random_inputs)
    assert found.verdict == NO_CAUSE and found.result.effect.high < 1e-4
    assert found.result.compared["of a future one"].min() > 0.01, "what was changed matters"
    everything = lambda steps, window, device=None: torch.ones(steps, steps, dtype=torch.bool)  # noqa: E731
    monkeypatch.setattr("genie_env.nn.attention.sliding_window_mask", everything)
    assert theories.causality(random_inputs).verdict == CAUSE


class Restless(TableEngine):
    """Changes two tokens more than it should."""

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        drawn = super().draw(state, actions_B)
        drawn[:, [3, 4]] = (state.recent_BCN[:, -1, [3, 4]] + 1) % 1000
        return drawn


class Fading(TableEngine):
    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        return state.recent_BCN[:, -1].clone()


@pytest.mark.parametrize(("engine", "said"), [(Restless, "too many"), (Fading, "too few")])
def test_draws_that_change_too_much_or_too_little_are_found(plant: Plant, engine: type[TableEngine], said: str) -> None:
    found = theories.objective(plant(engine=engine))
    assert found.verdict == CAUSE and said in found.result.note
