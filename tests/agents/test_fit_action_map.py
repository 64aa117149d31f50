"""Action maps fitted from labels that were recorded or played for."""

from __future__ import annotations

import dataclasses

import numpy as np

from agents.fit_action_map import Labelled, fit, markdown, played_labels
from genie_env.bundle import read_config, save_world
from genie_env.policies.spec import make_policy_spec
from tests.helpers.worlds import random_world

EFFECTS = (0, 0, 1, 2, 1, 2)
"""Pong's: six names, three effects."""


def noisy(count: int, codes: tuple[int, ...], noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Latent and real actions; effect e becomes ``codes[e]``, or with probability ``noise`` any code."""
    rng = np.random.default_rng(seed)
    real = rng.integers(len(EFFECTS), size=count)
    latent = np.array(codes)[np.array(EFFECTS)[real]]
    return np.where(rng.random(count) < noise, rng.integers(3, size=count), latent), real


def test_a_fitted_map_is_stored_and_gives_the_dream_its_real_actions(tmp_path) -> None:
    world = random_world(action_map=None)
    source = dataclasses.replace(world.config.source, effects=())
    world = world.replace(config=dataclasses.replace(world.config, source=source))
    latent, real = noisy(300, (2, 0, 1), 0.0)
    keep = np.isin(real, (0, 2, 3))
    real = np.searchsorted((0, 2, 3), real[keep])
    labelled = Labelled(latent[keep], real, np.full(len(real), -1))
    fitted = fit(world, labelled, labelled)
    assert fitted.held_out == 1.0 and fitted.config.source.effects == (0, 1, 2)
    assert "3 labels" not in markdown(fitted) and f"{len(real)} labels" in markdown(fitted)
    folder = save_world(world.replace(config=fitted.config), tmp_path / "mapped")
    assert read_config(folder).action_map == fitted.mapped
    assert make_policy_spec(read_config(folder), "tokens", "real").dream_actions == (0, 1, 2)


def test_labels_can_be_played_for() -> None:
    labelled = played_labels(random_world(), 20, seed=0)
    assert labelled.latent_M.shape == labelled.real_M.shape == (20,)
    assert set(labelled.real_M) <= {0, 1, 2}
    assert labelled.before_M.shape == (20,) and set(labelled.before_M) <= {-1, 0, 1, 2}
