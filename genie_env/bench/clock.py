"""Time of repeated calls, on CPU and CUDA; what machine it was, and whether anything else kept it busy."""

from __future__ import annotations

import itertools
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

import genie_env

WARM_UP_CALLS, WARM_UP_SHARE = 20, 0.25
MIN_CALLS = 5
# More than this many cores busy with other things, and figures are not those of the machine.
IDLE_CORES = 0.2


def seconds_per_call(
    work: Callable[[], Any], device: torch.device, calls: int, max_seconds: float = float("inf")
) -> np.ndarray:
    """Seconds of each call of ``work``, after some that are not measured.

    Args:
        work: what to time.
        device: where it runs.
        calls: how many to measure.
        max_seconds: measure fewer, but at least ``MIN_CALLS``, if they would take longer than about this.
    """
    expected = _warm_up(work, device, calls, max_seconds * WARM_UP_SHARE)
    if expected * calls > max_seconds:
        calls = min(calls, max(MIN_CALLS, int(max_seconds / expected)))
    return time_calls(work, device, calls)


def time_calls(work: Callable[[], Any], device: torch.device, calls: int) -> np.ndarray:
    """Seconds of each call, with no warm-up.

    On CUDA this is the time between events on the device, so that calls may run ahead of it as they do in use.
    """
    if device.type != "cuda":
        moments = np.zeros(calls + 1)
        moments[0] = time.perf_counter()
        for index in range(calls):
            work()
            moments[index + 1] = time.perf_counter()
        return np.diff(moments)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(calls + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    torch.cuda.synchronize(device)
    return np.array([begin.elapsed_time(end) / 1000 for begin, end in itertools.pairwise(events)])


def _warm_up(work: Callable[[], Any], device: torch.device, calls: int, max_seconds: float) -> float:
    """Call a few times; returns the seconds of the last call. The first ones allocate, choose kernels and compile."""
    began = time.perf_counter()
    taken = 0.0
    for index in range(min(calls, WARM_UP_CALLS)):
        if index >= 2 and time.perf_counter() - began > max_seconds:
            break
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken = time.perf_counter() - started
    return taken


class OtherLoad:
    """Cores that other processes kept busy since this object was made."""

    def __init__(self) -> None:
        self._begin = self._read()

    def cores(self) -> float:
        """Cores busy with others on average."""
        pairs = zip(self._read(), self._begin, strict=True)
        seconds, busy, own = (after - before for after, before in pairs)
        return max(0.0, (busy - own) / max(seconds, 1e-9))

    @staticmethod
    def _read() -> tuple[float, float, float]:
        """Clock, and seconds that all processes and this one with its children have computed."""
        spent = psutil.cpu_times()._asdict()
        # Guests are counted under user as well.
        idle = sum(spent.get(name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
        return time.perf_counter(), sum(spent.values()) - idle, sum(os.times()[:4])


def machine(device: torch.device) -> dict[str, Any]:
    """What figures depend on besides the world."""
    return {
        "genie_env": genie_env.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _processor() -> str:
    """The processor's name; on Linux Python knows the architecture only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
