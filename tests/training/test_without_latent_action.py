"""A world whose dynamics learned from recorded actions needs no latent action model, from training to play."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from genie_env.bundle import load_world
from genie_env.model_card import model_card
from tests.helpers.worlds import TINY_RECIPE, TinyWorld
from training.recipes import Recipe
from training.train import make_world


@pytest.fixture(scope="module")
def bundle(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded")
    short = dataclasses.replace
    recipe = short(
        TINY_RECIPE,
        latent_action=None,
        recorded_actions=True,
        label_fraction=0.0,
        dynamics={**TINY_RECIPE.dynamics, "num_actions": 3},
        dynamics_loop=short(TINY_RECIPE.dynamics_loop, n_updates=30),
        outcome_loop=short(TINY_RECIPE.outcome_loop, n_updates=20),
    )
    make_world(recipe, tiny_world.data, root / "run", root / "bundle")
    assert not (root / "run" / "latent_action").exists()
    return root / "bundle"


def test_it_is_saved_opened_and_played(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.glob("*.safetensors")) == [
        "dynamics.safetensors",
        "outcome.safetensors",
        "starts.safetensors",
        "tokenizer.safetensors",
    ]
    world = load_world(bundle, "cpu")
    assert world.latent_action is None and world.config.networks == ("tokenizer", "dynamics", "outcome")
    assert "latent action model" not in model_card(world)
    env = gym.make("Genie/World-v0", world=str(bundle))
    assert env.action_space == gym.spaces.Discrete(3)
    clip = np.stack([env.reset(seed=0)[0], *(env.step(1)[0] for _ in range(4))])
    obs, _ = env.reset(seed=1, options={"frames": clip})
    assert obs.shape == (64, 64, 3)


def test_its_dynamics_says_which_actions_a_clip_shows(bundle: Path) -> None:
    world = load_world(bundle, "cpu")
    envs = gym.make_vec("Genie/World-v0", num_envs=2, world=str(bundle))
    frames = np.stack([envs.reset(seed=0)[0], *(envs.step(np.array([1, 2]))[0] for _ in range(3))], axis=1)
    actions = world.infer_actions(frames)
    assert actions.shape == (2, 3) and set(actions.flatten().tolist()) <= {0, 1, 2}


def test_inferred_actions_need_a_model() -> None:
    with pytest.raises(ValueError, match="latent_action: expected a model"):
        Recipe(env="any", steps=10, latent_action=None)
