"""Train the latent action model: ``python -m training.train_latent_action --data data/pong --out runs/pong/lam``."""

from __future__ import annotations

from genie_env.command import run
from training.latent_action.task import TrainLatentActionConfig, train

if __name__ == "__main__":
    raise SystemExit(run(train, TrainLatentActionConfig, description=__doc__))
