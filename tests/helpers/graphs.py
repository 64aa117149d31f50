"""Small graphs for tests, and a world's step in onnxruntime beside the rollout engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from genie_env.bundle import open_bundle
from genie_env.config import SamplingConfig
from genie_env.portable.engine import OnnxEngine
from genie_env.portable.graph import Graph, Value
from genie_env.portable.step import StepOptions


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
