"""Train the dynamics: ``python -m training.train_dynamics --tokens runs/pong/tokens --out runs/pong/dynamics``."""

from __future__ import annotations

from genie_env.command import run
from training.dynamics.task import TrainDynamicsConfig, train

if __name__ == "__main__":
    raise SystemExit(run(train, TrainDynamicsConfig, description=__doc__))
