"""What the tests of agents share: a small learner and a finished run of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agents.train_ppo import TrainAgentConfig, train


@pytest.fixture(scope="session")
def small() -> TrainAgentConfig:
    """Settings of a run of 128 steps on tokens; its world is still to be named."""
    return TrainAgentConfig(
        env="Genie/World-v0",
        policy="tokens",
        steps=128,
        n_envs=4,
        n_steps=16,
        batch_size=32,
        n_epochs=1,
        horizon=10,
        eval_every=64,
        eval_steps=4,
        real_games=0,
        device="cpu",
    )


@pytest.fixture(scope="session")
def run(small: TrainAgentConfig, random_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 128 steps."""
    out = tmp_path_factory.mktemp("runs") / "ppo"
    train(dataclasses.replace(small, world=str(random_world), out=out, real_games=1))
    return out
