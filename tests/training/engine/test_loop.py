"""The loop keeps what it learned through any kill, and nothing that is not finite; runs are not mixed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from genie_env.command import STOP_SIGNALS, Interrupted
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.tensors import read_metadata
from tests.helpers.paths import ROOT
from training.engine.checkpoint import NotFiniteError, TrainingState
from training.engine.loop import CHECKPOINT, FAILURE, LoopConfig, fit
from training.engine.optimization import seeded
from training.engine.stage import alone_in


class Slope:
    """A task of two weights that needs its random numbers, its optimiser and its averaged weights to resume."""

    def __init__(self, stop_at: int = -1, how: Any = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.stop_at, self.how, self.steps = stop_at, how, 0

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        if step == self.stop_at:
            self.how()
        self.steps += 1
        x = torch.from_numpy(rng.normal(size=(8, 3))).float() + torch.rand(8, 3, generator=generator)
        return (self.model(x)[:, 0] - x.sum(1)).square().mean(), {}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        return {"weight": float(model[0].weight[0, 0])}, {"picture": np.zeros((4, 4, 3), np.uint8)}


LOOP = LoopConfig(n_updates=12, warmup=3, eval_every=4, checkpoint_every=5, precision="float32")


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def interrupt(signum: int) -> Any:
    return lambda: os.kill(os.getpid(), signum)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("stop_at", [0, 4, 6, 10])
def test_interrupted_training_resumes_to_identical_weights(tmp_path: Path, signum: int, stop_at: int) -> None:
    handlers = [signal.getsignal(s) for s in STOP_SIGNALS]
    whole = Slope()
    expected = fit(whole, LOOP, tmp_path / "whole", "slope")
    with pytest.raises(Interrupted, match=f"stopped at step {stop_at + 1}") as stopped:
        fit(Slope(stop_at, interrupt(signum)), LOOP, tmp_path / "killed", "slope")
    assert stopped.value.signum == signum
    resumed = Slope()
    assert_same_weights(fit(resumed, LOOP, tmp_path / "killed", "slope"), expected)
    assert_same_weights(resumed.model, whole.model)
    assert resumed.steps == LOOP.n_updates - stop_at - 1, "only the missing steps were played"
    assert handlers == [signal.getsignal(s) for s in STOP_SIGNALS]


def test_crashed_training_resumes_from_its_last_checkpoint(tmp_path: Path) -> None:
    def crash() -> None:
        raise RuntimeError("out of memory")

    expected = fit(Slope(), LOOP, tmp_path / "whole", "slope")
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(Slope(8, crash), LOOP, tmp_path / "crashed", "slope")
    resumed = Slope()
    assert_same_weights(fit(resumed, LOOP, tmp_path / "crashed", "slope"), expected)
    assert resumed.steps == LOOP.n_updates - 5


def test_finished_training_is_read_back_without_a_step(tmp_path: Path) -> None:
    expected = fit(Slope(), LOOP, tmp_path, "slope")
    again = Slope()
    assert_same_weights(fit(again, LOOP, tmp_path, "slope"), expected)
    assert again.steps == 0


@dataclass(frozen=True)
class Settings(JsonConfig):
    """Of a stage."""

    out: Path
    data: Path
    loop: LoopConfig = LOOP
    corruption: float = 0.1


def test_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    fit(Slope(), LOOP, tmp_path, "slope")
    other = replace(LOOP, learning_rate=0.5)
    with pytest.raises(ValueError, match=rf"{CHECKPOINT}: was made with learning_rate 0\.001, now 0\.5; use another"):
        fit(Slope(), other, tmp_path, "slope")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_decay": 0.5}, r"weight_decay 0\.01, now 0\.5"),
        ({"clip_norm": 2.0}, r"clip_norm 1\.0, now 2\.0"),
        ({"ema": 0.5}, r"ema 0\.998, now 0\.5"),
        ({"warmup": 4}, "warmup 3, now 4"),
        ({"accumulate": 2}, "parts 1, now 2"),
        ({"seed": 1, "batch_size": 8}, "batch_size 16, now 8; seed 0, now 1"),
        ({"precision": "bfloat16"}, "precision float32, now bfloat16"),
    ],
)
def test_every_setting_of_the_loop_is_part_of_a_run(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    fit(Slope(), replace(LOOP, n_updates=1), tmp_path, "slope")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=message):
        fit(Slope(), replace(LOOP, **changes), tmp_path, "slope")
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_settings_of_a_stage_and_what_its_inputs_hold_are_part_of_a_run(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(f'{{"recording": "{name}"}}')
    settings = Settings(tmp_path / "out", tmp_path / "one")
    fit(Slope(), LOOP, settings.out, "slope", settings)
    with pytest.raises(ValueError, match=r"corruption 0\.1, now 0\.2"):
        fit(Slope(), LOOP, settings.out, "slope", replace(settings, corruption=0.2))
    with pytest.raises(ValueError, match=r"was made with data [0-9a-f]{12}…, now [0-9a-f]{12}…; use another --out"):
        fit(Slope(), LOOP, settings.out, "slope", replace(settings, data=tmp_path / "other"))
    # The same recording under another name is the same recording.
    (tmp_path / "one").rename(tmp_path / "moved")
    fit(Slope(), LOOP, settings.out, "slope", replace(settings, data=tmp_path / "moved"))


def test_run_begun_before_a_setting_existed_goes_on_where_the_setting_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        fit(Slope(stop_at=6, how=interrupt(signal.SIGTERM)), LOOP, tmp_path, "slope")
    stamp = json.loads(read_metadata(tmp_path / CHECKPOINT)["stamp"])
    assert stamp.pop("muon_rate") == 0.0 and stamp.pop("clip_norm") == 1.0
    metadata = {**read_metadata(tmp_path / CHECKPOINT), "stamp": json.dumps(stamp)}
    save_file(load_file(tmp_path / CHECKPOINT), tmp_path / CHECKPOINT, metadata)
    with pytest.raises(ValueError, match=r"was made with clip_norm nothing, now 2\.0; use another --out"):
        fit(Slope(), replace(LOOP, clip_norm=2.0), tmp_path, "slope")
    assert_same_weights(fit(Slope(), LOOP, tmp_path, "slope"), fit(Slope(), LOOP, tmp_path / "whole", "slope"))


def test_what_a_run_reports_and_how_long_it_is_may_change(tmp_path: Path) -> None:
    fit(Slope(), LOOP, tmp_path, "slope")
    again = Slope()
    fit(again, replace(LOOP, n_updates=15, eval_every=7, checkpoint_every=9), tmp_path, "slope")
    assert again.steps == 3
    with pytest.raises(ValueError, match=rf"{CHECKPOINT}: has reached step 15; expected n_updates >= 15, got 14"):
        fit(Slope(), replace(LOOP, n_updates=14), tmp_path, "slope")


def test_network_of_another_width_is_one_line(tmp_path: Path) -> None:
    fit(Slope(), LOOP, tmp_path, "slope")
    wider = Slope()
    wider.model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))
    with pytest.raises(FileError, match=CHECKPOINT) as refused:
        fit(wider, LOOP, tmp_path, "slope")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("cut", [0, 7, 200, -1])
def test_cut_checkpoint_is_one_line_that_names_it(tmp_path: Path, cut: int) -> None:
    fit(Slope(), LOOP, tmp_path, "slope")
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FileError, match=CHECKPOINT) as refused:
        fit(Slope(), LOOP, tmp_path, "slope")
    assert "\n" not in str(refused.value)


def test_file_of_tensors_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(FileError, match=rf"{CHECKPOINT}: expected a checkpoint of training"):
        fit(Slope(), LOOP, tmp_path, "slope")


# What is not finite.


class Ill(Slope):
    """A slope whose loss, or only its gradient, is not finite in one update, unless it learns slowly."""

    def __init__(self, ill_at: int, how: str, value: float = float("nan")) -> None:
        super().__init__()
        self.ill_at, self.ill, self.value = ill_at, how, value

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        loss, figures = super().loss(step, rng, generator)
        if step != self.ill_at:
            return loss, figures
        if self.ill == "loss":
            return loss * self.value, figures
        if self.ill == "batch":
            # A batch that spoils running statistics on its way through the network.
            self.model(torch.full((8, 3), self.value))
            return loss * self.value, figures
        weight = self.model[0].weight
        return loss + (weight - weight.detach()).abs().sqrt().sum() * 0, figures  # gradient 0 * infinity


def finite(folder: Path) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in load_file(folder / CHECKPOINT).values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("how", ["loss", "gradient", "batch"])
@pytest.mark.parametrize("ill_at", [0, 7, 11])
def test_update_that_is_not_finite_changes_nothing(tmp_path: Path, how: str, ill_at: int, value: float) -> None:
    """Also in a run's very last update, where a loss that is looked at now and then would not show it."""
    with pytest.raises(NotFiniteError, match=rf"slope: .*became \S+ after step {ill_at}; .*lower --learning-rate"):
        fit(Ill(ill_at, how, value), LOOP, tmp_path / "ill", "slope")
    assert finite(tmp_path / "ill")
    if ill_at:
        undisturbed = tmp_path / "undisturbed"
        with pytest.raises(Interrupted):
            fit(Slope(ill_at - 1, interrupt(signal.SIGTERM)), LOOP, undisturbed, "slope")
        expected, kept = (load_file(folder / CHECKPOINT) for folder in (undisturbed, tmp_path / "ill"))
        assert all(torch.equal(tensor, kept[name]) for name, tensor in expected.items())


def test_weights_that_overflow_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = TrainingState.update_average

    def overflow(self: TrainingState, decay: float) -> None:
        update(self, decay)
        if self.step == 7:
            next(self.model.parameters()).data.fill_(float("inf"))

    monkeypatch.setattr(TrainingState, "update_average", overflow)
    with pytest.raises(NotFiniteError, match=rf"{CHECKPOINT} is the last that was finite"):
        fit(Slope(), LOOP, tmp_path, "slope")
    assert finite(tmp_path)
    monkeypatch.undo()
    resumed = Slope()
    fit(resumed, LOOP, tmp_path, "slope")
    assert resumed.steps == 7, "it went on from step 5"


def test_advice_after_a_failure_can_be_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotFiniteError):
        fit(Ill(7, "gradient"), LOOP, tmp_path, "slope")
    slower = replace(LOOP, learning_rate=1e-4)
    with pytest.raises(ValueError, match="weight_decay"):
        fit(Slope(), replace(slower, weight_decay=0.5), tmp_path, "slope")
    resumed = Slope()
    fit(resumed, slower, tmp_path, "slope")
    assert resumed.steps == 5
    assert "goes on at step 7 with other rates: learning_rate 0.001, now 0.0001" in "".join(capsys.readouterr())
    assert not (tmp_path / FAILURE).exists()
    with pytest.raises(ValueError, match="learning_rate"):
        fit(Slope(), LOOP, tmp_path, "slope")


def test_run_that_fails_before_its_first_step_can_begin_again(tmp_path: Path) -> None:
    task = Slope()
    with torch.no_grad():
        task.model[2].bias.fill_(float("nan"))
    with pytest.raises(NotFiniteError, match="loss became nan after step 0; nothing was finite before"):
        fit(task, LOOP, tmp_path, "slope")
    assert not (tmp_path / CHECKPOINT).exists()
    fit(Slope(), LOOP, tmp_path, "slope")


# Logs.


def test_no_step_is_logged_twice(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def crash() -> None:
        raise RuntimeError("power cut")

    often = replace(LOOP, eval_every=1)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(Slope(8, crash), often, tmp_path, "slope")
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "gro')
    fit(Slope(), often, tmp_path, "slope")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["group"] == "test"] == list(range(1, 13))
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("test/weight")] == list(range(1, 13))


# Settings and generators.


@pytest.mark.parametrize("precision", ["float64", ""])
def test_unknown_precision_is_named(precision: Any) -> None:
    with pytest.raises(ValueError, match=f"precision.*{precision!r}"):
        LoopConfig(n_updates=1, precision=precision)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("n_updates", "batch_size", "accumulate", "eval_every", "checkpoint_every")),
        *(("learning_rate", value) for value in (0.0, -1.0, float("nan"), float("inf"))),
        *(("muon_rate", value) for value in (-0.1, float("nan"))),
        *(("ema", value) for value in (-0.1, 1.1, float("nan"))),
    ],
)
def test_senseless_settings_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        LoopConfig(**{name: value})


def test_first_weights_are_those_of_the_seed_and_the_global_generator_goes_on_undisturbed() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(5)
    after = torch.rand(4)
    torch.manual_seed(5)
    with seeded(3):
        assert torch.equal(torch.rand(4), expected)
    assert torch.equal(torch.rand(4), after)


def test_precision_that_was_measured_is_kept_when_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.engine import loop

    auto = replace(LOOP, precision="auto")
    for measured in ("float32", "bfloat16"):
        monkeypatch.setattr(loop, "pick_precision", lambda *_, measured=measured: measured)
        with pytest.raises(Interrupted):
            fit(Slope(4, interrupt(signal.SIGTERM)), auto, tmp_path / measured, "slope")
        monkeypatch.setattr(loop, "pick_precision", lambda *_: "float32")
        fit(Slope(), auto, tmp_path / measured, "slope")
        assert read_metadata(tmp_path / measured / CHECKPOINT)["precision"] == measured


# Two at once.


def test_second_process_in_a_folder_is_refused_at_once_and_told_who_holds_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from training.engine.stage import alone_in\n"
        "with alone_in(Path(sys.argv[1])): print('in')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with alone_in(tmp_path / "run"):
        other = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert other.returncode and f"is in use by process {os.getpid()} on " in other.stderr
    assert subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout == "in\n"


def test_leftovers_of_a_killed_save_are_swept(tmp_path: Path) -> None:
    (tmp_path / f".{CHECKPOINT}.partial").write_bytes(b"half")
    with alone_in(tmp_path):
        assert not list(tmp_path.iterdir())


def test_refused_stage_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data"), alone_in(tmp_path / "new"):
        raise ValueError("no data")
    assert not list(tmp_path.iterdir())
