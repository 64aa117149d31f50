from __future__ import annotations

import numpy as np
import pytest

from genie_env.window.frame_clock import FrameClock


class FakeClock:
    """A clock that only moves when told to; sleeping oversleeps a little, as real ones do."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds + 0.0007


@pytest.mark.parametrize("fps", [15, 30, 59.94])
def test_pace_does_not_drift(fps: float) -> None:
    clock = FakeClock()
    frame_clock = FrameClock(fps, clock.now, clock.sleep)
    work = np.random.default_rng(0).uniform(0, 0.9 / fps, 3000)
    for index, seconds in enumerate(work):
        clock.time += 2.5 / fps if index % 500 == 0 else seconds
        frame_clock.wait()
    assert clock.time - 100 == pytest.approx(3000 / fps, abs=0.001)
    assert frame_clock.rate == pytest.approx(fps, rel=0.05)


def test_stall_is_not_made_up_for() -> None:
    clock = FakeClock()
    frame_clock = FrameClock(20, clock.now, clock.sleep)
    frame_clock.wait()
    clock.time += 10
    frame_clock.wait()
    began = clock.time
    for _ in range(20):
        frame_clock.wait()
    assert clock.time - began == pytest.approx(1.0, abs=0.002)


def test_unpaced_loop_sleeps_only_when_asked_to() -> None:
    clock = FakeClock()
    frame_clock = FrameClock(0, clock.now, clock.sleep)
    frame_clock.wait()
    assert clock.time == 100 and frame_clock.rate == 0
    frame_clock.wait(at_most=20)
    assert clock.time == pytest.approx(100.05, abs=0.002)
