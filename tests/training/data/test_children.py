"""Child processes end with their parent, however it ends, and a child that is killed hangs nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from training.data.children import each

PATIENCE = 120


def write_and_wait(file: Path) -> None:
    file.write_text(str(os.getpid()))
    time.sleep(PATIENCE)


def write(file: Path) -> None:
    file.write_text("done")


def die(file: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    # A process that has ended stays in the table until it is waited for, by whoever adopted it.
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_every_job_is_done_in_whatever_number_of_processes(tmp_path: Path) -> None:
    for count in (1, 2):
        files = [tmp_path / f"{count}_{job}" for job in range(3)]
        assert len(list(each(write, files, count))) == 3 and all(file.exists() for file in files)


def test_no_child_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    files = [tmp_path / "0", tmp_path / "1"]
    code = (
        "from pathlib import Path; from training.data.children import each; "
        "from tests.training.data.test_children import write_and_wait; "
        f"list(each(write_and_wait, [Path(x) for x in {list(map(str, files))}], 2))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        until(lambda: all(file.exists() and file.read_text() for file in files))
        parent.kill()
    until(lambda: not any(is_alive(int(file.read_text())) for file in files))


def test_children_end_at_once_where_the_parent_is_interrupted(tmp_path: Path) -> None:
    file, other = tmp_path / "0", tmp_path / "1"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with pytest.raises(KeyboardInterrupt):
            list(each(write_and_wait, [file, other], 2))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    until(lambda: not any(is_alive(int(each.read_text())) for each in (file, other) if each.exists()))


def test_a_child_that_is_killed_ends_the_work_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match="run the same command to go on"):
        list(each(die, [tmp_path / "0", tmp_path / "1"], 2))


def test_a_command_is_asked_to_stop_when_its_parent_is_gone() -> None:
    started_as = [sys.executable, "-m", "training.data.children", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(started_as, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdin is not None
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(PATIENCE) == -signal.SIGTERM
