"""Processes that die at a chosen step of their work with files, as by ``kill -9``: nothing is cleaned up."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

STEPS = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync", "link")
"""Functions of ``os`` that count as a step each; the process dies just before the step is taken."""


def kills(work: Callable[[], object], kinds: tuple[str, ...] = STEPS) -> Iterator[int]:
    """Do ``work`` in one child process after another; each dies one step later, until one comes to its end.

    Yields the number of steps of these kinds that were taken, while the traces of the killed process lie there.
    """
    step = 0
    while _dies(work, step, kinds):
        yield step
        step += 1


def _dies(work: Callable[[], object], steps: int, kinds: tuple[str, ...]) -> bool:
    with warnings.catch_warnings():
        # Newer versions of Python warn of threads; those of the test runner are of no use to the child.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        try:
            _count(steps, kinds)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), "the work failed by itself"
    return code == 9


def _count(steps: int, kinds: tuple[str, ...]) -> None:
    left = steps

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            return function(*args, **kwargs)

        return call

    for name in kinds:
        setattr(os, name, counted(getattr(os, name)))
