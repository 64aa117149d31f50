"""Child processes that end with the one that started them, however it ends: no ``kill -9`` leaves one at work.

Each child reads a pipe whose other end only its parent holds, and ends when the pipe does. Owns how they begin and end;
knows nothing of what they do. Run as ``python -m training.data.children MODULE FLAGS``, it is the command MODULE as a
child of this kind, whose pipe is its standard input.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any


def each(work: Callable[[Any], None], jobs: Iterable[Any], count: int) -> Generator[None, None, None]:
    """Do every job in one of ``count`` child processes, or here if that is at most one; yields after each.

    If the caller raises or stops asking, the children end at once, in the middle of their jobs.

    Raises:
        ChildProcessError: if a child was killed, as for want of memory.
    """
    if count <= 1:
        yield from map(work, jobs)
        return
    reader, writer = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_attach, initargs=(reader,)) as pool:
        try:
            with _signals_of_terminal_blocked():
                waiting = [pool.submit(work, job) for job in jobs]
            for done in as_completed(waiting):
                done.result()
                yield
        except BrokenProcessPool:
            raise ChildProcessError(
                "a process that recorded was killed, perhaps for want of memory; run the same command to go on, "
                "perhaps with fewer --workers"
            ) from None
        except BaseException:
            writer.close()
            raise
    writer.close()
    reader.close()


@contextlib.contextmanager
def command(module: str, flags: Sequence[str]) -> Iterator[subprocess.Popen]:
    """Start ``python -m MODULE FLAGS``; at the end of the context it is waited for.

    It is in a process group of its own: Ctrl-C in a terminal does not reach it unless it is sent on.
    """
    started_as = [sys.executable, "-m", __name__, module, *flags]
    with subprocess.Popen(started_as, stdin=subprocess.PIPE, process_group=0) as process:
        yield process


def _attach(reader: Connection) -> None:
    """End this process, a child, with its parent."""
    threading.Thread(target=_end_with, args=(reader,), daemon=True).start()


def _end_with(reader: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        reader.recv_bytes()
    os._exit(1)


@contextlib.contextmanager
def _signals_of_terminal_blocked() -> Iterator[None]:
    """Let children that are started here ignore what a terminal sends to all its processes; the parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ask_to_stop_at_end_of_input() -> None:
    # Not by sys.stdin, whose lock a thread that waits would hold while the interpreter ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _main(module: str, flags: list[str]) -> None:
    """Be the command ``module``; it is asked to stop, as by SIGTERM, when its parent is gone."""
    threading.Thread(target=_ask_to_stop_at_end_of_input, daemon=True).start()
    sys.argv = [module, *flags]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
