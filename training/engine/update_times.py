"""When updates end, for whoever wants to know how long they take: a budget in minutes, a benchmark.

Owns a list of times while somebody listens. The loop only says that an update ended; it knows no listener.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LISTENING: ContextVar[list[float] | None] = ContextVar("update_times", default=None)


def note_update() -> None:
    """Say that an update ended just now."""
    times = _LISTENING.get()
    if times is not None:
        times.append(time.perf_counter())


@contextmanager
def update_times() -> Iterator[list[float]]:
    """Collect the seconds, on a clock without a meaning of its zero, at which updates end inside the block."""
    token = _LISTENING.set([])
    try:
        times = _LISTENING.get()
        assert times is not None
        yield times
    finally:
        _LISTENING.reset(token)
