"""How long a world takes to begin and how fast it steps, as a section of a report."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from genie_env.bench import measure
from training.intervals import Figure
from training.report import WORLD, Section

_START = """
import time, sys
begun = time.perf_counter()
import genie_env
imported = time.perf_counter()
import gymnasium
gymnasium.make("Genie/World-v0", world=sys.argv[1], device=sys.argv[2]).reset(seed=0)
print(imported - begun, time.perf_counter() - imported)
"""


def speed_section(world: str, device: str, steps: int) -> Section:
    """How long a fresh process takes to begin, and how fast one row then steps."""
    busy = _busy_cores()
    command = [sys.executable, "-c", _START, world, device]
    seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    speed = measure(world, "rgb", 1, steps, device).steps_per_second
    found = {
        "import genie_env, s": Figure(float(seconds[0])),
        "gym.make and reset in a fresh process, s": Figure(float(seconds[1])),
        "environment steps per second, one row with pictures": Figure(speed),
        "cores kept busy by others": Figure(busy),
    }
    said = "Nothing else ran." if busy < 0.2 else "NOT VALID unless nothing else ran, which is not so or not known."
    return Section("speed", f"On {os.cpu_count()} cores. {said}", {WORLD: found})


def _busy_cores() -> float:
    """Cores busy while this process sleeps for a second; NaN where the system does not tell."""

    def read() -> tuple[float, float]:
        ticks = [float(x) for x in Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
        return sum(ticks) - ticks[3] - ticks[4], time.perf_counter()

    try:
        (before, start), _, (after, stop) = read(), time.sleep(1.0), read()
    except OSError:
        return float("nan")
    return (after - before) / os.sysconf("SC_CLK_TCK") / (stop - start)
