"""A policy on disk is settings and tensors that must fit: it plays as it did, and anything else is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.sb3.make_envs import make_dreams
from agents.sb3.policy_io import load_policy
from agents.train_ppo import TrainAgentConfig, make_learner
from genie_env.bundle import load_world
from genie_env.files.tensors import fill_weights, weights_of
from genie_env.policies.config import JSON, TENSORS


def test_a_policy_that_was_saved_and_loaded_chooses_the_same(
    small: TrainAgentConfig, run: Path, random_world: Path
) -> None:
    policy, config = load_policy(run / "policies" / "000000128")
    assert config.trained == {"env": "Genie/World-v0", "steps": 128, "seed": 0}
    dreams = make_dreams(random_world, config.spec, 4, device="cpu")
    learner = make_learner(dataclasses.replace(small, seed=9), dreams, load_world(random_world, "cpu"))
    fill_weights(learner.policy, weights_of(policy), "policy")
    observations = dreams.reset()
    assert np.array_equal(
        policy.predict(observations, deterministic=True)[0], learner.predict(observations, deterministic=True)[0]
    )


def test_a_damaged_policy_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"policy\.json"):
        load_policy(tmp_path)
    for name, text in ((TENSORS, b"x"), (JSON, b'{"format": "x"}')):
        folder = tmp_path / name
        folder.mkdir()
        for path in (run / "policy").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / name).write_bytes(text)
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            load_policy(folder)


def test_weights_of_another_shape_or_not_finite_are_refused(run: Path) -> None:
    policy, _ = load_policy(run / "policy")
    weights = weights_of(policy)
    name = next(iter(weights))
    for broken in (
        {k: v for k, v in weights.items() if k != name},
        {**weights, name: weights[name][:1]},
        {**weights, name: torch.full_like(weights[name], torch.nan)},
    ):
        with pytest.raises(ValueError, match=r"policy: .*(missing|unknown|expected|not finite)"):
            fill_weights(policy, broken, "policy")


def test_a_policy_reads_only_what_its_network_can(run: Path) -> None:
    _, about = load_policy(run / "policy")
    with pytest.raises(ValueError, match="cannot read"):
        dataclasses.replace(about, network="cnn")
