"""How long a world takes to begin and how fast it steps, as a section of a report."""

from __future__ import annotations

import math
import os
import subprocess
import sys

from genie_env.bench import measure
from genie_env.bench.clock import IDLE_CORES, OtherLoad
from genie_env.statistics import Interval
from training.evaluation.report import WORLD, Section

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
    load = OtherLoad()
    command = [sys.executable, "-c", _START, world, device]
    seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    speed = measure(world, "rgb", 1, steps, device).steps_per_second
    others = load.cores()
    found = {
        "import genie_env, s": Interval(float(seconds[0])),
        "gym.make and reset in a fresh process, s": Interval(float(seconds[1])),
        "environment steps per second, one row with pictures": Interval(speed),
        "cores kept busy by others": Interval(math.nan if others is None else others),
    }
    idle = others is not None and others <= IDLE_CORES
    said = "Nothing else ran." if idle else "NOT VALID unless nothing else ran, which is not so or not known."
    return Section("speed", f"On {os.cpu_count()} cores. {said}", {WORLD: found})
