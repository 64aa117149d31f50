"""Small graphs for tests, and a world's step in onnxruntime beside the rollout engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from genie_env.bundle import open_bundle
from genie_env.config import DynamicsConfig, OutcomeConfig, SamplingConfig, TokenizerConfig
from genie_env.portable.engine import OnnxEngine
from genie_env.portable.graph import Graph, Value
from genie_env.portable.step import StepOptions

OTHER_SHAPES: dict[str, dict[str, Any]] = {
    "two passes": {"sampling": SamplingConfig(top_p=0.9, decode_steps=2)},
    "five passes, few drawn": {"sampling": SamplingConfig(decode_steps=5, max_changed=7)},
    "one frame judged": {"outcome": OutcomeConfig(vocab_size=32, token_dim=4, width=16, context_frames=1)},
    "longer judged than prompted": {"outcome": OutcomeConfig(vocab_size=32, token_dim=4, width=16, context_frames=6)},
    "no block in the head, tokens alone": {
        "dynamics": DynamicsConfig(
            vocab_size=32, group=1, width=32, num_layers=1, num_heads=4, head_layers=0, token_dim=8, window=3
        )
    },
    "large groups": {
        "dynamics": DynamicsConfig(
            vocab_size=32, group=4, width=32, num_layers=3, num_heads=1, head_layers=2, token_dim=8, window=5
        )
    },
    "fsq": {
        "tokenizer": TokenizerConfig(kind="fsq", vocab_size=60, levels=(5, 4, 3), channels=8),
        "dynamics": DynamicsConfig(vocab_size=60, width=32, num_layers=1, num_heads=2, token_dim=8, window=4),
        "outcome": OutcomeConfig(vocab_size=60, token_dim=4, width=16),
    },
}
"""Settings of random worlds whose networks have other shapes than the shipped ones."""
OTHER_SHAPES["overlapping fsq"] = {
    **OTHER_SHAPES["fsq"],
    "tokenizer": replace(OTHER_SHAPES["fsq"]["tokenizer"], encoder="overlapping", steadiness=0.0),
}


def evaluate(build: Callable[..., Value], **given: np.ndarray) -> np.ndarray:
    """What a graph of one output makes of its inputs; ``build`` takes the graph and a value for each input."""
    graph = Graph()
    values = {name: graph.input(name, array.dtype, *array.shape) for name, array in given.items()}
    out = build(graph, **values)
    graph.output("out", out)
    model = graph.model("test", "tests", "0", {})
    # Of any shape: the tests look at what comes out.
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)[0])


def open_engine(
    world: Path | str,
    sampling: SamplingConfig | None = None,
    action_type: str = "latent",
    window: int = 5,
    threads: int = 1,
) -> OnnxEngine:
    """An engine of a world in onnxruntime."""
    bundle = open_bundle(world)
    return OnnxEngine(bundle, StepOptions(sampling or bundle.config.sampling, action_type, window), threads)
