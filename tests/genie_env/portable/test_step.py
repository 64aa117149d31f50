"""A world's step as a graph does what the rollout engine does, and no row's numbers depend on the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from genie_env.bundle import load_world, open_bundle, read_starts, save_world
from genie_env.config import DYNAMICS_KINDS, DynamicsConfig
from genie_env.portable.engine import OnnxState, named_arrays
from genie_env.portable.step import StepOptions, step_model
from genie_env.rollout.engine import RolloutEngine, RolloutState
from tests.helpers import worlds
from tests.helpers.graphs import OTHER_SHAPES, open_engine
from tests.helpers.worlds import TinyWorld, make_random_world

STEPS = 1000
MOST_TIES = 3
"""Draws in 1,000 steps that may hang on the last bit of a probability."""


def keys(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).integers(2**63, size=rows)


def copy_into(state: OnnxState, rollout: RolloutState) -> None:
    """Put onnxruntime's rows where torch's stand."""
    state.tokens_BCN[:], state.step_B[:] = rollout.recent_BCN.numpy(), rollout.step_B.numpy()
    for layer, ring in enumerate(rollout.cache.rings):
        state.memory[2 * layer][:], state.memory[2 * layer + 1][:] = ring.numpy()


def compare(world: Path | str, steps: int, temperature: float = 1.0, rows: int = 1) -> int:
    """Dream the same rows in torch and in onnxruntime; returns in how many steps of a row a token differed.

    Rows that differ go on from torch's.
    """
    engine, opened = open_engine(world), load_world(world, "cpu")
    torch_engine: RolloutEngine = opened.engine()
    tokens, actions = (part[np.arange(rows) % len(part)] for part in read_starts(engine.bundle))
    state = engine.start(tokens, actions, keys(rows))
    rollout = torch_engine.start(torch.tensor(tokens), torch.tensor(actions), torch.tensor(keys(rows)))
    rng = np.random.default_rng(0)
    heat, never, differing = np.full(rows, temperature, np.float32), np.zeros(rows, np.float32), 0
    seen = set()
    for _ in range(steps):
        asked = rng.integers(opened.config.dynamics.num_actions, size=rows)
        got = engine.step(state, asked, heat, never)
        expected = torch_engine.step(rollout, torch.tensor(asked), torch.tensor(heat))
        same = (state.tokens_BCN[:, -1] == expected.tokens_BN.numpy()).all(1)
        assert np.array_equal(got.latent_action_B, asked)
        assert np.array_equal(got.reward_B[same], expected.reward_B.numpy()[same])
        assert np.array_equal(got.terminated_B[same], expected.terminated_B.numpy()[same])
        np.testing.assert_allclose(got.entropy_B, expected.entropy_B.numpy(), atol=1e-4)
        differing += int((~same).sum())
        if not same.all():
            copy_into(state, rollout)
        seen.add(state.tokens_BCN[:, -1].tobytes())
    assert len(seen) > min(steps, 10) / 2, "a still picture proves nothing"
    return differing


@pytest.mark.parametrize("name", ["pong", "breakout"])
def test_a_thousand_steps_of_shipped_worlds_have_torchs_tokens(name: str) -> None:
    assert compare(name, STEPS) <= MOST_TIES


def test_a_thousand_steps_of_the_tiny_game_have_torchs_tokens(tiny_world: TinyWorld) -> None:
    assert compare(tiny_world.bundle, STEPS) <= MOST_TIES


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_steps_of_many_rows_have_torchs_tokens(random_world: Path, temperature: float) -> None:
    assert compare(random_world, 60, temperature, rows=17) <= MOST_TIES


@pytest.mark.parametrize("shape", sorted(OTHER_SHAPES))
def test_networks_of_other_shapes_have_torchs_tokens(tmp_path: Path, shape: str) -> None:
    world = make_random_world(tmp_path / "world", **OTHER_SHAPES[shape])
    assert compare(world, 60, rows=3) <= MOST_TIES


@pytest.mark.parametrize(("name", "threads"), [("pong", 1), ("pong", 2), ("breakout", 2)])
def test_rows_equal_single_rows_to_the_byte(name: str, threads: int) -> None:
    """Everything that comes out of a step, entropy included, for any number of rows and of threads."""
    sampling = dataclasses.replace(open_bundle(name).config.sampling, decode_steps=2)
    alone, together = open_engine(name, sampling, "real"), open_engine(name, sampling, "real", threads=threads)
    rng, rows = np.random.default_rng(0), 33
    state = _lively_state(alone, rows, rng)
    given = {
        "action": rng.integers(4, size=rows),
        "forced_latent": np.full(rows, -1),
        "temperature": rng.choice([0, 0.5, 1], size=rows).astype(np.float32),
        "action_diversity": rng.random(rows).astype(np.float32),
    }
    given |= named_arrays(state)
    single = [
        alone.session.run(None, {name: array[row : row + 1] for name, array in given.items()}) for row in range(rows)
    ]
    for count in (2, 5, 16, 33):
        outs = together.session.run(None, {name: np.ascontiguousarray(array[:count]) for name, array in given.items()})
        for row in range(count):
            for out, expected in zip(outs, single[row], strict=True):
                assert np.asarray(out)[row].tobytes() == np.asarray(expected)[0].tobytes()


def _lively_state(engine: Any, rows: int, rng: np.random.Generator) -> OnnxState:
    state = engine.empty(rows)
    tokens, _ = read_starts(engine.bundle)
    frames_MN = tokens.reshape(-1, tokens.shape[2])
    state.tokens_BCN[:] = frames_MN[rng.integers(len(frames_MN), size=state.tokens_BCN.shape[:2])]
    state.recent_BK[:] = rng.integers(-1, 4, size=state.recent_BK.shape)
    state.key_B[:], state.step_B[:], state.time_B[:] = keys(rows), np.arange(rows), np.arange(rows)
    for memory in state.memory:
        memory[:] = rng.standard_normal(memory.shape, dtype=np.float32)
    return state


def test_actions_are_mapped_and_replaced_as_in_the_environment(tmp_path: Path) -> None:
    """A map that goes by the action before, and action diversity, against the functions that torch's path uses."""
    from genie_env.action_map import latent_tables
    from genie_env.rollout.sampling import LANE_ACTION, counter_uniform, diversify

    world = make_random_world(tmp_path / "world", action_map=worlds.TELLING_CHANGES)
    engine, rows = open_engine(world, action_type="real", window=3), 7
    tokens, actions = (part[np.arange(rows) % len(part)] for part in read_starts(engine.bundle))
    state = engine.start(tokens, actions, keys(rows))
    table = latent_tables(worlds.TELLING_CHANGES)
    rng, recent = np.random.default_rng(0), torch.full((rows, 3), -1)
    replaced = 0
    for step in range(30):
        asked, chance = rng.integers(3, size=rows), rng.random(rows).astype(np.float32)
        uniform = counter_uniform(torch.tensor(keys(rows)), torch.full((rows,), step), LANE_ACTION, 2)
        executed = diversify(torch.tensor(asked), recent, 3, torch.tensor(chance), uniform).numpy()
        got = engine.step(state, asked, np.ones(rows, np.float32), chance)
        assert np.array_equal(got.action_B, executed)
        assert np.array_equal(got.latent_action_B, table[recent[:, -1].numpy(), executed])
        recent = torch.cat([recent[:, 1:], torch.tensor(executed)[:, None]], 1)
        assert np.array_equal(state.recent_BK, recent.numpy())
        replaced += int((executed != asked).sum())
    assert replaced > 10


def test_a_graph_is_small_and_always_the_same() -> None:
    bundle = open_bundle("pong")
    options = StepOptions(bundle.config.sampling, "real", 5)
    model = step_model(bundle, options)
    data = model.SerializeToString()
    assert data == step_model(bundle, options).SerializeToString()
    assert len(data) < 150_000, "the weights belong into the bundle's files"
    stored = [tensor for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    assert {entry.value for tensor in stored for entry in tensor.external_data if entry.key == "location"} == {
        "dynamics.safetensors",
        "outcome.safetensors",
    }


def test_a_network_of_an_unknown_kind_is_refused(random_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DYNAMICS_KINDS, "recurrent", DynamicsConfig)
    bundle = open_bundle(random_world)
    config = dataclasses.replace(bundle.config, dynamics=dataclasses.replace(bundle.config.dynamics, kind="recurrent"))
    with pytest.raises(ValueError, match=r"dynamics of world 'random' is of kind 'recurrent'.*runtime='torch'"):
        step_model(bundle._replace(config=config), StepOptions(config.sampling, "latent", 5))


def test_a_damaged_bundle_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    world = make_random_world(tmp_path / "world")
    path = world / "dynamics.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"dynamics\.safetensors: is truncated or was edited"):
        open_engine(world)
    other = save_world(worlds.random_world(dynamics=worlds.random_config().dynamics), tmp_path / "other")
    (other / "outcome.safetensors").unlink()
    with pytest.raises(ValueError, match=r"outcome\.safetensors: missing"):
        open_engine(other)
