"""Train the dynamics: ``python -m training.train_dynamics --tokens runs/pong/tokens --out runs/pong/dynamics``."""

from __future__ import annotations

import tyro

from training.dynamics.task import TrainDynamicsConfig, train

if __name__ == "__main__":
    train(tyro.cli(TrainDynamicsConfig, description=__doc__))
