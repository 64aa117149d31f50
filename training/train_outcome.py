"""Train the outcome head: ``python -m training.train_outcome --tokens runs/pong/tokens --out runs/pong/outcome``.

With ``--dynamics`` it learns, and is measured, partly on frames that the world dreamed itself, which is what it will
have to judge.
"""

from __future__ import annotations

from genie_env.command import run
from training.outcome.task import TrainOutcomeConfig, train

if __name__ == "__main__":
    raise SystemExit(run(train, TrainOutcomeConfig, description=__doc__))
