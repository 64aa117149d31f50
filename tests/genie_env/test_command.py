"""Every command reads its flags, reports wrong input and ends alike."""

from __future__ import annotations

import io
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tyro.conf import OmitArgPrefixes

from genie_env.command import STOP_SIGNALS, Interrupted, on_stop_signal, run
from genie_env.files.atomic import whole_folder
from genie_env.rollout.torch_runtime import CompileError
from tests.helpers.paths import ROOT

# For each command a line with one wrong path or name.
WRONG: dict[str, str] = {
    "training.record": "--env NoSuchGame-v0 --out new",
    "training.learn": "NoSuchGame-v0 --minutes 1",
    "training.import_frames": "missing --out new",
    "training.join": "missing/one missing/two --out new",
    "training.train": "--recipe no_such_recipe",
    "training.train_tokenizer": "--data missing --out new",
    "training.train_latent_action": "--data missing --out new",
    "training.tokenize": "--data missing --video-tokenizer-path missing --lam-path missing --out new",
    "training.train_dynamics": "--tokens missing --out new",
    "training.train_outcome": "--tokens missing --out new",
    "training.export": "--data missing --run missing --out new",
    "training.evaluate": "missing --data missing --out new",
    "training.diagnose": "missing --data missing --out new",
    "training.ablation": "--data missing --run missing --out new",
    "training.compare_members": "--data missing --tokens missing --out new",
    "training.compare_decoding": "missing --data missing --out new",
    "training.score_latent_actions": "--data missing --codes missing.npz",
    "training.verify": "missing",
    "training.bench": "--compare missing.json",
    "agents.record_learner": "--env NoSuchGame-v0 --out new",
    "agents.train_ppo": "--env Genie/World-v0 --world missing --out new",
    "agents.transfer": "missing --out new",
    "agents.select_checkpoint": "missing",
    "agents.dream_vs_real": "missing",
    "agents.error_analysis": "missing --out new",
    "agents.fit_action_map": "missing",
    "agents.push_policy": "missing user/repo",
    "agents.ship_policy": "missing",
    "agents.score_planner": "--world missing --out new",
    "agents.score_seeds": "missing absent --name new",
}


def start(command: str, line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """What ``python -m command line`` exits with; in this process, which has imported torch already."""
    monkeypatch.setattr(sys, "argv", [command, *line.split()])
    monkeypatch.delitem(sys.modules, command, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(command, run_name="__main__", alter_sys=True)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_every_command_is_tried() -> None:
    files = [path for package in ("training", "agents") for path in (ROOT / package).glob("*.py")]
    commands = {f"{path.parent.name}.{path.stem}" for path in files if "__main__" in path.read_text()}
    assert commands == set(WRONG)


@pytest.mark.parametrize("command", WRONG)
def test_wrong_path_or_name_is_one_line_and_status_2(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert start(command, WRONG[command], monkeypatch) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{command}: error: ") and printed.err.count("\n") == 1, printed.err
    assert list(tmp_path.iterdir()) == [], "a command that is refused leaves nothing behind"


@pytest.mark.parametrize("command", WRONG)
def test_help_says_how_the_command_is_started(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(command, "--help", monkeypatch) == 0
    assert f"usage: {command}" in capsys.readouterr().out


@pytest.mark.parametrize("spelling", [str, lambda flag: flag.replace("-", "_").replace("__", "--", 1)])
def test_flags_of_the_seed_document_are_understood(
    spelling: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They parse, and it is the missing recording that is refused."""
    monkeypatch.chdir(tmp_path)
    flags = {"--n-updates": "5000", "--batch-size": "16", "--learning-rate": "1e-4"}
    folders = {"--video-tokenizer-path": "none", "--lam-path": "none", "--data": "missing"}
    line = " ".join(f"{spelling(flag)} {value}" for flag, value in {**flags, **folders}.items())
    assert start("training.train_dynamics", line, monkeypatch) == 2
    assert "error: missing: expected a recording" in capsys.readouterr().err
    line = " ".join(f"{spelling(flag)} none" for flag in ("--dynamics-path", "--lam-path", "--video-tokenizer-path"))
    assert start("training.export", f"--data missing --out new {line}", monkeypatch) == 2
    assert "error: missing: expected a recording" in capsys.readouterr().err


# The runner by itself.


@dataclass(frozen=True)
class Inner:
    """Settings of a part."""

    size: int = 1
    """Size of the part in steps."""


@dataclass(frozen=True)
class Outer:
    """A command's settings."""

    part: Inner = Inner()
    """Part whose flags have a prefix."""
    loop: OmitArgPrefixes[Inner] = Inner(2)
    """Part whose flags have none."""


def test_flags_fill_the_configuration() -> None:
    seen: list[Outer] = []
    assert run(seen.append, Outer, argv=["--size", "3", "--part.size", "4"], prog="x") == 0
    assert seen == [Outer(Inner(4), Inner(3))]


def test_modules_are_imported_before_flags_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one_of_mine", "other_of_mine"):
        (tmp_path / f"{name}.py").write_text(f"print({name!r})")
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[Outer] = []
    line = "--module one_of_mine --size 3 --module=other_of_mine"
    assert run(seen.append, Outer, argv=line.split(), prog="x") == 0
    assert seen == [Outer(loop=Inner(3))] and capsys.readouterr().out == "one_of_mine\nother_of_mine\n"


@pytest.mark.parametrize("line", ["--module no_such_module", "--module"])
def test_module_that_is_not_there_is_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(print, Outer, argv=line.split(), prog="x") == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("x: error: module") and printed.err.count("\n") == 1 and not printed.out


def test_unknown_flag_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(print, Outer, argv=["--sise", "3"], prog="x")
    assert ended.value.code == 2 and "--size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("bad\n  value"), 2, "x: error: bad value\n"),
        (FileNotFoundError(2, "No such file", "y"), 2, "x: error: [Errno 2] No such file: 'y'\n"),
        (ImportError("needs the extra"), 2, "x: error: needs the extra\n"),
        (CompileError("no compiler"), 2, "x: error: no compiler\n"),
        (ValueError(), 2, "x: error: ValueError\n"),
        (KeyboardInterrupt(), 130, ""),
        (Interrupted("stopped; go on"), 130, "x: stopped; go on\n"),
        (Interrupted("stopped", signal.SIGTERM), 143, "x: stopped\n"),
        (Interrupted("stopped", signal.SIGHUP), 129, "x: stopped\n"),
    ],
)
def test_error_is_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Outer) -> None:
        raise error

    assert run(fail, Outer, argv=[], prog="x") == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("error", [RuntimeError("a bug"), TypeError("a bug"), KeyError("a bug")])
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    def fail(_: Outer) -> None:
        raise error

    with pytest.raises(type(error), match="a bug"):
        run(fail, Outer, argv=[], prog="x")


def test_console_without_a_sign_prints_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    assert run(lambda _: print("a → b"), Outer, argv=[], prog="x") == 0
    assert written.getvalue().split() == [b"a", b"?", b"b"]


def test_reader_that_went_away_is_no_error() -> None:
    code = "from tests.genie_env.test_command import *; sys.exit(run(lambda _: print('x' * 10**6), Outer, argv=[]))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(timeout=60) == 141
    process.stderr.close()


# Signals.


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of a process, put back afterwards."""
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("signum", STOP_SIGNALS)
def test_a_signal_ends_every_command_as_ctrl_c_does(
    signum: int, handlers: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def work(_: object) -> None:
        with whole_folder(tmp_path / "made") as partial:
            (partial / "half").touch()
            signal.raise_signal(signum)

    assert run(work, Outer, argv=[], prog="x") == 128 + signum
    assert len(capsys.readouterr().err.splitlines()) <= 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("signum", STOP_SIGNALS)
def test_stop_signal_reaches_its_handler_only_while_asked_for(signum: int, handlers: None) -> None:
    heard: list[int] = []
    before = [signal.getsignal(s) for s in STOP_SIGNALS]
    with on_stop_signal(heard.append):
        os.kill(os.getpid(), signum)
    assert heard == [signum] and before == [signal.getsignal(s) for s in STOP_SIGNALS]


def test_signal_that_is_ignored_stays_ignored(handlers: None) -> None:
    """What ``nohup`` starts must outlive its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heard: list[int] = []
    with on_stop_signal(heard.append):
        os.kill(os.getpid(), signal.SIGHUP)
    assert heard == []
