"""Owns the pace of a loop. Knows nothing about what is done in it."""

from __future__ import annotations

import time
from collections.abc import Callable

# A loop this late (a dragged window, a slow disk) goes on from now instead of catching up in a rush.
STALL_SECONDS = 0.25


class FrameClock:
    """Holds a loop to a rate and measures it. Frames lie on a fixed grid of times: lateness never adds up."""

    def __init__(
        self,
        fps: float,
        now: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start the grid now; ``fps`` 0 means as fast as possible."""
        self.fps, self._now, self._sleep = fps, now, sleep
        self._last = self._start = now()
        self._count = 0
        self._period = 0.0

    @property
    def rate(self) -> float:
        """Frames per second, averaged over about the last ten; 0 before the first."""
        return 1.0 / self._period if self._period > 0 else 0.0

    def wait(self, at_most: float = 0.0) -> None:
        """Sleep until the next frame is due; ``at_most`` is the rate where there is no other."""
        if self.fps > 0:
            self._count += 1
            early = self._start + self._count / self.fps - self._now()
            if early > 0:
                self._sleep(early)
            elif early < -STALL_SECONDS:
                self._start, self._count = self._now(), 0
        elif at_most > 0:
            self._sleep(1.0 / at_most)
        now = self._now()
        elapsed, self._last = now - self._last, now
        self._period = elapsed if self._period == 0 else 0.9 * self._period + 0.1 * elapsed
