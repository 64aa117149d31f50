"""Train the latent action model: ``python -m training.train_latent_action --data data/pong --out runs/pong/lam``."""

from __future__ import annotations

import tyro

from training.latent_action.task import TrainLatentActionConfig, train

if __name__ == "__main__":
    train(tyro.cli(TrainLatentActionConfig, description=__doc__))
