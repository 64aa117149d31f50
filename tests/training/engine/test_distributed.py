"""Parts of a batch, on one process or several, teach what the whole batch teaches; files are written once."""

from __future__ import annotations

import dataclasses
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from genie_env.command import Interrupted
from genie_env.config import DynamicsConfig, DynamicsShape
from genie_env.models.dynamics import Dynamics
from training.data.dataset import ClipBatch, TokenDataset
from training.data.token_store import TokenEpisode, TokenStore, write_made_up
from training.dynamics.loss import next_frame_loss
from training.dynamics.task import DynamicsTask, TrainDynamicsConfig
from training.engine import distributed as processes
from training.engine import loop
from training.engine.checkpoint import TrainingState
from training.engine.distributed import Processes
from training.engine.loop import CHECKPOINT, LoopConfig, fit

VOCAB = 24
SIZE = DynamicsConfig(
    vocab_size=VOCAB, side=4, width=16, num_layers=1, num_heads=2, head_layers=1, token_dim=8, window=3
)
LOOP = LoopConfig(
    n_updates=5, batch_size=2, learning_rate=3e-3, muon_rate=0.02, warmup=2, eval_every=5, precision="float32"
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes of random tokens of which some keep almost all and some almost none from frame to frame."""
    rng, idle = np.random.default_rng(0), np.zeros(20, np.int16)
    episodes = []
    for episode in range(12):
        frames = rng.integers(VOCAB, size=(20, SIZE.num_tokens))
        for t in range(1, 20):
            stays = rng.random(SIZE.num_tokens) < (0.97 if episode % 2 else 0.3)
            frames[t, stays] = frames[t - 1, stays]
        episodes.append(TokenEpisode(frames, rng.integers(3, size=20), idle, idle, idle))
    folder = tmp_path_factory.mktemp("made_up") / "tokens"
    return write_made_up(folder, {"train": episodes, "test": episodes}, SIZE.tokens, SIZE.num_actions).folder


class BareTask:
    """Next-frame loss of plain clips; ``parts`` of them drawn together where a batch is to be whole."""

    def __init__(self, tokens: Path, parts: int = 1) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = Dynamics(SIZE)
        self.counts: list[int] = []
        self._data, self._parts = TokenDataset(TokenStore(tokens), "train"), parts

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        rngs = [rng] if self._parts == 1 else [np.random.default_rng([0, step, part]) for part in range(self._parts)]
        for other in rngs if self._parts > 1 else []:
            # The loop draws the seed of torch's generator first.
            other.integers(2**63)
        clips = [self._data.clips(other, LOOP.batch_size, 5) for other in rngs]
        clip = ClipBatch(*(torch.cat(parts) for parts in zip(*clips, strict=True)))
        undecided = torch.full_like(clip.tokens_BTN[:, 1:], VOCAB)
        assert isinstance(self.model, Dynamics)
        result = next_frame_loss(self.model, clip, clip.tokens_BTN[:, :-1], undecided, 2.0)
        self.counts.append(result.num_changed)
        return result.loss, {"count": result.num_changed}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        return {}, {}


def names(config_class: type) -> list[str]:
    return [each.name for each in dataclasses.fields(config_class)]


def last_loss(folder: Path) -> float:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["group"] == "train"]
    assert [line["step"] for line in trained] == [LOOP.n_updates], "logged once"
    return trained[0]["loss"]


def assert_close(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[name], rtol=1e-4, atol=1e-6, msg=name)


def test_parts_of_a_batch_teach_what_the_whole_batch_teaches(tokens: Path, tmp_path: Path) -> None:
    """Also where the parts count unequal numbers of changed tokens."""
    whole, parted = BareTask(tokens, parts=2), BareTask(tokens)
    expected = fit(whole, LOOP, tmp_path / "whole", "whole")
    assert_close(fit(parted, replace(LOOP, accumulate=2), tmp_path / "parted", "parted"), expected)
    assert last_loss(tmp_path / "parted") == pytest.approx(last_loss(tmp_path / "whole"), rel=1e-5)
    pairs = np.array(parted.counts).reshape(-1, 2)
    assert pairs.sum(1).tolist() == whole.counts
    assert (pairs.max(1) > 2 * pairs.min(1)).any(), "the test would not notice a plain mean"


def test_first_part_is_the_batch_of_a_run_without_parts() -> None:
    assert np.array_equal(np.random.default_rng([3, 7, 0]).random(9), np.random.default_rng([3, 7]).random(9))
    assert not np.array_equal(np.random.default_rng([3, 7, 1]).random(9), np.random.default_rng([3, 7]).random(9))


@dataclass
class Meeting:
    """What two threads share that play two processes."""

    inboxes: tuple[queue.Queue, ...] = ()
    here: threading.local = field(default_factory=threading.local)

    def play(self, works: list[Callable[[], Any]]) -> list[Any]:
        """Run both works at once; an exception is a result."""
        results: list[Any] = [None, None]
        self.inboxes = queue.Queue(), queue.Queue()

        def run(index: int) -> None:
            self.here.process = InThread(2, index, self)
            try:
                results[index] = works[index]()
            except (Exception, Interrupted) as error:
                results[index] = error
                self.inboxes[1 - index].put(None)  # so that the other does not wait for one that is gone

        threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


@dataclass(frozen=True)
class InThread(Processes):
    meeting: Meeting = field(default_factory=Meeting)

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        self.meeting.inboxes[1 - self.index].put(tensor)
        other = self.meeting.inboxes[self.index].get(timeout=60)
        if other is None:
            raise RuntimeError("the other process is gone")
        return tensor + other


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Meeting:
    meeting = Meeting()
    monkeypatch.setattr(loop, "connect", lambda: getattr(meeting.here, "process", Processes()))
    return meeting


def test_two_processes_learn_what_one_learns_from_the_doubled_batch(
    tokens: Path, tmp_path: Path, meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = TrainingState.save
    monkeypatch.setattr(TrainingState, "save", lambda self, path: (saved.append(self.step), save(self, path)))
    whole, tasks = BareTask(tokens, parts=2), [BareTask(tokens), BareTask(tokens)]
    expected = fit(whole, LOOP, tmp_path / "whole", "whole")
    saved.clear()
    settings = replace(LOOP, checkpoint_every=2)
    works = [lambda task=task: fit(task, settings, tmp_path / "both", "both") for task in tasks]
    for model in meeting.play(works):
        assert_close(model, expected)
    assert saved == [2, 4, 5], "each checkpoint is written once"
    assert last_loss(tmp_path / "both") == pytest.approx(last_loss(tmp_path / "whole"), rel=1e-5)
    assert len(list((tmp_path / "both" / "tensorboard").iterdir())) == 1
    # Both end with the same weights to the last bit.
    for one, other in zip(tasks[0].model.parameters(), tasks[1].model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_stop_of_one_process_stops_all_at_one_step_and_the_run_goes_on_as_one_process(
    tokens: Path, tmp_path: Path, meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fit(BareTask(tokens), replace(LOOP, accumulate=2), tmp_path / "whole", "whole")

    class Stopped(BareTask):
        def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
            if step == 1:
                meeting.here.stop.ask(signal.SIGTERM)
            return super().loss(step, rng, generator)

    class NotedStop(loop._Stop):
        def __init__(self) -> None:
            super().__init__()
            meeting.here.stop = self

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_Stop", NotedStop)
        tasks = [BareTask(tokens), Stopped(tokens)]
        results = meeting.play([lambda task=task: fit(task, LOOP, tmp_path / "run", "run") for task in tasks])
    # The request came while step 2 was under way; the other process heard of it with the sums of step 3.
    assert [str(result) for result in results] == ["run: stopped at step 3; run the same command to go on"] * 2
    assert_close(fit(BareTask(tokens), replace(LOOP, accumulate=2), tmp_path / "run", "run"), expected)
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors.*parts"):
        fit(BareTask(tokens), LOOP, tmp_path / "run", "run")


def test_processes_that_do_not_share_the_checkpoint_are_refused(tokens: Path, tmp_path: Path, meeting: Meeting) -> None:
    fit(BareTask(tokens), replace(LOOP, n_updates=2, accumulate=2), tmp_path / "one", "run")
    folders = [tmp_path / "one", tmp_path / "empty"]
    tasks = [BareTask(tokens), BareTask(tokens)]
    works = [
        lambda task=task, folder=folder: fit(task, LOOP, folder, "run")
        for task, folder in zip(tasks, folders, strict=True)
    ]
    assert all("not all processes see the same checkpoint" in str(result) for result in meeting.play(works))


def test_several_processes_without_accelerate_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert processes.connect() == Processes()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ImportError, match=r"genie-env\[multi\]"):
        processes.connect()


def test_accelerate_launch_resumes_on_two_processes_what_one_began(tokens: Path, tmp_path: Path) -> None:
    """The real command: gradients travel between two processes, one of which writes."""
    pytest.importorskip("accelerate")
    settings = TrainDynamicsConfig(tokens, tmp_path / "whole", SIZE, replace(LOOP, accumulate=2), clip_length=5)
    expected = fit(DynamicsTask(settings), settings.loop, tmp_path / "whole", "dynamics")
    begun = tmp_path / "begun"

    class Dying(DynamicsTask):
        def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
            if step == 3:
                raise RuntimeError("power cut")
            return super().loss(step, rng, generator)

    with pytest.raises(RuntimeError, match="power cut"):
        fit(Dying(settings), replace(settings.loop, checkpoint_every=2), begun, "dynamics", settings)
    (begun / "log.jsonl").unlink()
    launch = "accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2 --main_process_port 0"
    sizes = {f"--{name}": getattr(SIZE, name) for name in names(DynamicsShape)}
    loops = {f"--{name}": getattr(LOOP, name) for name in names(LoopConfig)}
    flags = sizes | loops | {"--tokens": tokens, "--out": begun, "--clip-length": 5}
    arguments = [text for name, value in flags.items() for text in (name.replace("_", "-"), str(value))]
    command = [sys.executable, "-m", *launch.split(), "-m", "training.train_dynamics", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[:4000]
    finished = load_file(begun / "model.safetensors")
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(finished[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    assert last_loss(begun) == pytest.approx(last_loss(tmp_path / "whole"), rel=1e-5)
    assert (begun / CHECKPOINT).exists()
