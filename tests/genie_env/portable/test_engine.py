"""Dreams in onnxruntime: their state is copied whole, rows begin on their own, and torch is never imported."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genie_env.bundle import load_world, read_starts
from genie_env.portable.engine import PROMPT_ROWS, OnnxEngine, OnnxState
from genie_env.portable.session import suitable_threads
from genie_env.rollout.records import DreamStep
from tests.helpers.graphs import OTHER_SHAPES, open_engine
from tests.helpers.paths import ROOT
from tests.helpers.worlds import make_random_world


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> OnnxEngine:
    return open_engine(make_random_world(tmp_path_factory.mktemp("worlds") / "random"))


def begin(engine: OnnxEngine, rows: int, first: int = 0) -> OnnxState:
    tokens, actions = (part[(np.arange(rows) + first) % len(part)] for part in read_starts(engine.bundle))
    return engine.start(tokens, actions, np.arange(rows) + first)


def brought(step: DreamStep) -> list[np.ndarray]:
    """The arrays of a step; of a world without members some are absent."""
    return [array for array in step if array is not None]


def play(engine: OnnxEngine, state: OnnxState, steps: int, seed: int = 0) -> bytes:
    """Everything that some steps with random actions bring."""
    rng, rows = np.random.default_rng(seed), len(state.key_B)
    heat, chance, seen = np.ones(rows, np.float32), np.full(rows, 0.3, np.float32), b""
    for _ in range(steps):
        step = engine.step(state, rng.integers(3, size=rows), heat, chance)
        seen += b"".join(array.tobytes() for array in brought(step)) + state.tokens_BCN.tobytes()
    return seen


def same(one: OnnxState, other: OnnxState) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.arrays(), other.arrays(), strict=True))


@pytest.mark.parametrize("copier", [OnnxState.clone, copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_copy_goes_on_alike_and_independently(engine: OnnxEngine, copier: Callable[[OnnxState], OnnxState]) -> None:
    state = begin(engine, 3)
    play(engine, state, 6)
    kept = copier(state)
    first = play(engine, state, 6)
    assert not same(kept, state)
    assert play(engine, copier(kept), 6) == first
    # Taken over in place: what is bound stays bound.
    state.copy_from(kept)
    assert same(state, kept) and play(engine, state, 6) == first


def test_two_engines_may_step_one_state_in_turn(engine: OnnxEngine) -> None:
    other = open_engine(engine.bundle.folder)
    state, alone = begin(engine, 2), begin(engine, 2)
    seen = play(engine, state, 3) + play(other, state, 3, seed=1) + play(engine, state, 3, seed=2)
    assert seen == play(engine, alone, 3) + play(engine, alone, 3, seed=1) + play(engine, alone, 3, seed=2)


def test_rows_that_begin_late_are_what_they_are_alone(engine: OnnxEngine) -> None:
    state = begin(engine, 3)
    play(engine, state, 5)
    others = [array[:2].copy() for array in state.arrays()]
    tokens, actions = (part[7 % len(part)][None] for part in read_starts(engine.bundle))
    engine.reset_rows(state, np.array([2]), tokens, actions, np.array([7]))
    assert all(np.array_equal(array[:2], other) for array, other in zip(state.arrays(), others, strict=True))
    alone = begin(engine, 1, first=7)
    heat, never = np.ones(3, np.float32), np.zeros(3, np.float32)
    for action in (0, 1, 2, 2, 1, 0, 0):
        together = engine.step(state, np.array([1, 2, action]), heat, never)
        single = engine.step(alone, np.array([action]), heat[:1], never[:1])
        assert all(a[2:].tobytes() == b.tobytes() for a, b in zip(brought(together), brought(single), strict=True))
    assert np.array_equal(state.tokens_BCN[2:], alone.tokens_BCN)


def test_many_prompts_are_read_as_one_alone(engine: OnnxEngine) -> None:
    rows = PROMPT_ROWS + 3
    together = begin(engine, rows)
    for row in (0, PROMPT_ROWS - 1, PROMPT_ROWS, rows - 1):
        alone = begin(engine, 1, first=row)
        assert all(np.array_equal(a[row], b[0]) for a, b in zip(together.arrays(), alone.arrays(), strict=True))


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_prompts_of_any_length_leave_what_torch_remembers(engine: OnnxEngine, frames: int) -> None:
    import torch

    rng = np.random.default_rng(frames)
    tokens, actions = rng.integers(32, size=(2, frames, 64)), rng.integers(3, size=(2, frames - 1))
    state = engine.start(tokens, actions, np.array([5, 6]))
    rollout = (
        load_world(engine.bundle.folder, "cpu")
        .engine()
        .start(torch.tensor(tokens), torch.tensor(actions), torch.tensor([5, 6]))
    )
    assert np.array_equal(state.tokens_BCN, rollout.recent_BCN.numpy())
    assert np.array_equal(state.time_B, rollout.cache.time_B.numpy()) and not state.step_B.any()
    for layer, ring in enumerate(rollout.cache.rings):
        for kind in range(2):
            np.testing.assert_allclose(state.memory[2 * layer + kind], ring[kind].numpy(), atol=1e-4)


def test_a_step_returns_fresh_arrays(engine: OnnxEngine) -> None:
    state, heat, never = begin(engine, 2), np.ones(2, np.float32), np.zeros(2, np.float32)
    first = brought(engine.step(state, np.array([1, 2]), heat, never))
    kept = [array.copy() for array in first]
    engine.step(state, np.array([0, 0]), heat, never)
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))


@pytest.mark.parametrize("kind", ["codebook", "fsq"])
def test_pictures_are_torchs(tmp_path: Path, kind: str) -> None:
    import torch

    engine = open_engine(make_random_world(tmp_path / "world", **(OTHER_SHAPES["fsq"] if kind == "fsq" else {})))
    tokens, _ = read_starts(engine.bundle)
    got = engine.pictures(tokens[:, 0])
    with torch.inference_mode():
        expected = load_world(engine.bundle.folder, "cpu").tokenizer.decode(torch.tensor(tokens[:, 0])).numpy()
    assert got.dtype == np.uint8 and got.shape == expected.shape
    difference = np.abs(got.astype(int) - expected)
    # Convolutions may be rounded otherwise; patches are copied.
    assert difference.max() <= (kind == "fsq") and (difference > 0).mean() < 0.01


def test_one_thread_for_few_rows_and_else_what_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [suitable_threads(rows) for rows in (1, 16, 17, 64)] == [1, 1, 3, 3]
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert suitable_threads(64) >= 1


def test_dreams_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from genie_env.bundle import open_bundle, read_starts\n"
        "from genie_env.portable.engine import OnnxEngine\n"
        "from genie_env.portable.step import StepOptions\n"
        "bundle = open_bundle('pong')\n"
        "engine = OnnxEngine(bundle, StepOptions(bundle.config.sampling, 'real', 5), 1)\n"
        "tokens, actions = read_starts(bundle)\n"
        "state = engine.start(tokens[:1], actions[:1], np.array([1]))\n"
        "engine.step(state, np.array([2]), np.ones(1), np.zeros(1))\n"
        "assert engine.pictures(state.tokens_BN).shape == (1, 64, 64, 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nimport genie_env.portable.engine"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "pip install 'genie-env[onnx]'" in (last := done.stderr.splitlines()[-1])
    assert package in last
