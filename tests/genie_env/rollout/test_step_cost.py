"""What a step costs depends on nothing but its shapes: not on rows, steps so far, or resets. Counted, never timed."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from genie_env.bench.parts import PeakBytes
from genie_env.config import DynamicsConfig, LatentActionConfig, OutcomeConfig, TokenizerConfig
from genie_env.models.tokenizer import PatchCodebook
from genie_env.portable.engine import OnnxEngine
from genie_env.rollout.engine import RolloutEngine, RolloutState
from genie_env.world import World
from tests.helpers.paths import ROOT
from tests.helpers.worlds import NUM_ACTIONS, VOCAB, random_world

GENIE_ENV = ROOT / "genie_env"


class Calls(TorchDispatchMode):
    """Operations called, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def small_world() -> World:
    """Four tokens a frame, so that thousands of rows cost little."""
    size = DynamicsConfig(
        vocab_size=VOCAB, side=2, group=1, num_actions=NUM_ACTIONS, width=8, num_layers=2, num_heads=2, token_dim=8,
        window=4,
    )  # fmt: skip
    return random_world(
        tokenizer=TokenizerConfig(image_size=16, vocab_size=VOCAB),
        latent_action=LatentActionConfig(num_actions=NUM_ACTIONS, image_size=16, channels=8, code_dim=4),
        dynamics=size,
        outcome=OutcomeConfig(vocab_size=VOCAB, num_tokens=4, token_dim=4, width=8),
    )


def start(engine: RolloutEngine, rows: int) -> RolloutState:
    num_tokens = engine.dynamics.config.num_tokens
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(VOCAB, (rows, 2, num_tokens), generator=generator)
    return engine.start(tokens, torch.zeros(rows, 1, dtype=torch.long), torch.arange(rows))


def step(engine: RolloutEngine, state: RolloutState) -> None:
    rows = len(state.key_B)
    engine.step(state, state.step_B % NUM_ACTIONS, torch.ones(rows))


def reset(engine: RolloutEngine, state: RolloutState, rows: torch.Tensor) -> None:
    engine.reset_rows(state, rows, state.recent_BCN[rows], torch.zeros(len(rows), 3, dtype=torch.long), rows)


def test_step_calls_the_same_operations_whatever_rows_steps_and_resets() -> None:
    world = random_world()
    engine, window = world.engine(), world.dynamics.config.window
    seen = []
    for rows in (1, 2, 7):
        state = start(engine, rows)
        for index in range(3 * window):
            if index == window + 1:
                reset(engine, state, torch.tensor([0]))
            with Calls() as calls:
                step(engine, state)
            seen.append(calls.names)
    assert all(names == seen[0] for names in seen) and len(seen[0]) < 600


def test_thousands_of_rows_step_in_memory_that_does_not_grow() -> None:
    """Tensors in, tensors out, 2,000 rows: the ring stays where it is and a step leaves nothing behind."""
    engine = small_world().engine()
    state = start(engine, 2000)
    rings = [ring.data_ptr() for ring in state.cache.rings]
    held, peaks = [], []
    with PeakBytes() as memory:
        for index in range(14):
            memory.peak = memory.now
            step(engine, state)
            peaks.append(memory.peak - memory.now)
            if index in (0, 7):
                reset(engine, state, torch.arange(0, 2000, 3))
            held.append(memory.now)
    assert [ring.data_ptr() for ring in state.cache.rings] == rings
    assert len(set(held[1:])) == 1 and len(set(peaks[1:])) == 1
    assert held[-1] < 2000 * 8 * 4 * (engine.outcome.config.context_frames + 3), "tokens, keys and times, no more"


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_tokens_are_observed_without_drawing_a_picture(
    random_world: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(PatchCodebook, "decode", never)
    monkeypatch.setattr(OnnxEngine, "pictures", never)
    options: dict[str, Any] = {"world": str(random_world), "obs_type": "tokens", "runtime": runtime}
    env = gym.make("Genie/World-v0", **options)
    assert env.reset(seed=0)[0].shape == env.step(1)[0].shape == (64,)
    envs = gym.make_vec("Genie/World-v0", num_envs=3, max_episode_steps=2, **options)
    envs.reset(seed=0)
    for _ in range(5):
        assert envs.step(np.zeros(3, dtype=np.int64))[0].shape == (3, 64)


def test_engine_and_networks_know_no_numpy() -> None:
    files = [GENIE_ENV / "rollout" / name for name in ("engine.py", "sampling.py")]
    files += [*(GENIE_ENV / "nn").glob("*.py"), *(GENIE_ENV / "models").glob("*.py")]
    for path in files:
        nodes = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        names = [getattr(node, "module", None) or node.names[0].name for node in nodes]
        assert not [name for name in names if name.split(".")[0] in ("numpy", "gymnasium")], path.name
