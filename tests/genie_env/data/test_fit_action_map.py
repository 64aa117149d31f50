"""Action maps from few labels."""

from __future__ import annotations

import numpy as np
import pytest

from genie_env.action_map import latent_tables, to_real
from genie_env.config import ActionMapConfig
from genie_env.data.fit_action_map import fit_action_map, infer_effects

EFFECTS = (0, 0, 1, 2, 1, 2)
"""Pong's: six names, three effects."""


def noisy(count: int, codes: tuple[int, ...], noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Latent and real actions; effect e becomes ``codes[e]``, or with probability ``noise`` any code."""
    rng = np.random.default_rng(seed)
    real = rng.integers(len(EFFECTS), size=count)
    latent = np.array(codes)[np.array(EFFECTS)[real]]
    return np.where(rng.random(count) < noise, rng.integers(3, size=count), latent), real


def test_two_hundred_labels_find_the_map_of_six_names_with_three_effects() -> None:
    latent, real = noisy(200, (2, 0, 1), 0.1)
    mapped = fit_action_map(latent, real, EFFECTS, 3)
    assert mapped.real_to_latent == (2, 2, 0, 1, 0, 1)
    assert mapped.latent_to_real == (2, 3, 0)
    assert mapped.coverage == 1.0 and mapped.num_labels == 200
    assert min(mapped.purity) > 0.8
    assert mapped.agreement is not None and mapped.agreement > 0.85


def test_an_effect_without_a_latent_action_is_not_covered() -> None:
    latent, real = noisy(200, (0, 1, 1), 0.0)
    mapped = fit_action_map(latent, real, EFFECTS, 3)
    assert mapped.coverage == pytest.approx(2 / 3, abs=1e-3)


def test_effects_are_inferred_from_labels_alone() -> None:
    latent, real = noisy(400, (2, 0, 1), 0.05)
    assert infer_effects(latent, real, 6, 3) == EFFECTS
    assert infer_effects(latent[real != 1], real[real != 1], 6, 3)[1] not in (0, 2, 3), "never seen: its own effect"


def test_a_map_survives_json() -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(3, size=200)
    latent = (real[1:] - real[:-1]) % 3
    mapped = fit_action_map(latent, real[1:], (0, 1, 2), 3, real[:-1])
    assert mapped.latent_to_real_after
    assert ActionMapConfig.from_json(mapped.to_json()) == mapped


@pytest.mark.parametrize("counts", [(0, 0, 0), (3, 2, 3), (3, 3, 2)])
def test_labels_of_unequal_number_are_refused(counts: tuple[int, int, int]) -> None:
    latent, real, before = (np.zeros(n, dtype=int) for n in counts)
    with pytest.raises(ValueError, match="expected as many"):
        fit_action_map(latent, real, EFFECTS, 3, before)


def test_latent_actions_that_tell_changes_are_understood_by_the_action_before() -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(len(EFFECTS), size=201)
    effect = np.array(EFFECTS)[real]
    before, real, latent = real[:-1], real[1:], (effect[1:] - effect[:-1]) % 3
    latent = np.where(rng.random(200) < 0.05, rng.integers(3, size=200), latent)
    blind, knowing = (fit_action_map(latent, real, EFFECTS, 3, b) for b in (None, before))
    assert blind.agreement is not None and blind.agreement < 0.6 and not blind.latent_to_real_after
    assert knowing.agreement is not None and knowing.agreement > 0.9
    assert knowing.coverage == 1.0
    tables = latent_tables(knowing)
    assert tables.shape == (7, 6)
    for earlier in range(6):
        for now in range(6):
            code = tables[earlier, now]
            assert code == (EFFECTS[now] - EFFECTS[earlier]) % 3
            said = to_real(knowing, np.array([code]), before_M=np.array([earlier]))[0]
            assert EFFECTS[said] == EFFECTS[now]
    assert tuple(tables[-1]) == knowing.real_to_latent
    assert to_real(knowing, np.array([1]), before_M=np.array([-1]))[0] == knowing.latent_to_real[1]


def test_what_was_never_seen_after_an_action_is_as_elsewhere() -> None:
    rng = np.random.default_rng(1)
    real, latent = rng.integers(2, size=60), rng.integers(2, size=60)
    real[latent == 0] = 0
    mapped = fit_action_map(latent, real, (0, 1, 2), 2, before_M=np.zeros(60, dtype=int))
    for after in (mapped.latent_to_real_after or (mapped.latent_to_real,) * 3)[1:]:
        assert after == mapped.latent_to_real
