"""How long an update of a stage takes, measured by doing a few of them somewhere else.

A short training goes through the whole schedule, dreamed contexts included, so its mean update costs what that of a
long one does. Starting up and the last evaluation are in both of two trainings of different length and cancel out.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from training.stages import STAGES

FEW, MANY = 4, 24
FEW_DREAMS = 200


def seconds_per_update(stage: str, config: Any) -> float:
    """Mean seconds of an update of ``stage`` with these settings; nothing of it is kept.

    Args:
        stage: name of a stage that trains in a loop.
        config: its settings.
    """
    train = next(one.train for one in STAGES if one.name == stage)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for updates in (FEW, MANY):
            loop = dataclasses.replace(
                config.loop, n_updates=updates, warmup=1, eval_every=10**9, checkpoint_every=10**9
            )
            few_dreams = {"dreams": FEW_DREAMS} if hasattr(config, "dreams") else {}
            short = dataclasses.replace(config, out=Path(folder) / str(updates), loop=loop, **few_dreams)
            began = time.perf_counter()
            train(short)
            seconds.append(time.perf_counter() - began)
    return max(1e-3, (seconds[1] - seconds[0]) / (MANY - FEW))
