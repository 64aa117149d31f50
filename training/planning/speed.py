"""How long an update of a stage takes, measured by doing a few of them somewhere else.

A short training goes through the whole schedule, dreamed contexts included, so its mean update costs what that of a
long one does. Only the time between updates counts: starting up and the last evaluation are no part of it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from training.engine.update_times import update_times
from training.stages import STAGES

UPDATES, WARM_UP = 28, 3
LONGEST = 3.0
"""Times the median beyond which an update waited for another program; it then counts as this long."""
FEW_DREAMS = 200


def seconds_per_update(stage: str, config: Any) -> float:
    """Mean seconds of an update of ``stage`` with these settings; nothing of it is kept.

    Args:
        stage: name of a stage that trains in a loop.
        config: its settings.
    """
    train = next(one.train for one in STAGES if one.name == stage)
    with tempfile.TemporaryDirectory() as folder, update_times() as times:
        loop = dataclasses.replace(config.loop, n_updates=UPDATES, warmup=1, eval_every=10**9, checkpoint_every=10**9)
        short = {"dreams": FEW_DREAMS, "naming": False}
        short = {name: value for name, value in short.items() if hasattr(config, name)}
        train(dataclasses.replace(config, out=Path(folder) / stage, loop=loop, **short))
    return typical_seconds(np.diff(times)[WARM_UP:])


def typical_seconds(seconds: np.ndarray) -> float:
    """Mean of update times [U], those cut that waited for another program."""
    return float(np.minimum(seconds, LONGEST * np.median(seconds)).mean())
