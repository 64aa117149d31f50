"""How long a world takes to start and how fast it steps."""

from __future__ import annotations

import subprocess
import sys

from genie_env.bench import measure
from genie_env.bench.clock import IDLE_CORES, OtherLoad
from genie_env.measurement import Measurement, Metric, with_fields

SPEED = "speed"
_START = """
import time, sys
begun = time.perf_counter()
import genie_env
imported = time.perf_counter()
import gymnasium
gymnasium.make("Genie/World-v0", world=sys.argv[1], device=sys.argv[2]).reset(seed=0)
print(imported - begun, time.perf_counter() - imported)
"""


def measure_speed(world: str, device: str, steps: int) -> tuple[list[Measurement], str]:
    """How long a fresh process takes to start and how fast one row then steps; and whether that is to be trusted."""
    load = OtherLoad()
    command = [sys.executable, "-c", _START, world, device]
    seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    rate = measure(world, "rgb", 1, steps, device).steps_per_second
    others = load.cores()
    found = [
        Measurement.of(Metric.IMPORT_TIME, float(seconds[0])),
        Measurement.of(Metric.START_TIME, float(seconds[1])),
        Measurement.of(Metric.STEP_RATE, rate),
        Measurement.of(Metric.BUSY_CORES, others),
    ]
    idle = others <= IDLE_CORES
    note = "nothing else ran" if idle else "NOT VALID: other processes ran"
    return with_fields(found, experiment=SPEED), f"speed: {note}"
