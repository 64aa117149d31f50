"""The step of a world as one ONNX graph, and the contract of its inputs and outputs.

Inputs are what the player asks for (``action``, ``forced_latent``, ``temperature``, ``action_diversity``) and where the
dreams stand (everything else). Outputs are what the step brought and what the caller writes back before the next step:
``next_tokens`` and ``next_recent_actions`` replace their inputs, ``fresh_keys_i`` and ``fresh_values_i`` go to slot
``time % window`` of ``keys_i`` and ``values_i``, and ``step`` and ``time`` grow by one. The whole contract, with an
example, is in ``docs/portable.md``.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

import genie_env
from genie_env.action_map import latent_table
from genie_env.bundle import Bundle
from genie_env.config import DynamicsConfig, SamplingConfig, WorldConfig
from genie_env.portable.drawing import Uniform, diversify, draw_frame, lanes
from genie_env.portable.graph import Graph, Value
from genie_env.portable.kinds import require_known
from genie_env.portable.libraries import ModelProto
from genie_env.portable.network import Dynamics, Memory, Outcome, UnknownOutcome, group_order

CONTRACT = 1
"""Version of the names, types and meanings of inputs and outputs."""


class StepOptions(NamedTuple):
    """What is fixed when a graph is built."""

    sampling: SamplingConfig
    """Nucleus, passes and most tokens drawn; its temperature is an input of the graph."""
    action_type: str
    """``real`` or ``latent``: which actions the graph takes."""
    diversity_window: int
    """Number of recent actions that action diversity looks at."""


def step_model(bundle: Bundle, options: StepOptions) -> ModelProto:
    """Build the graph of a world's step; its weights stay in the bundle's files, to which it points.

    Raises:
        ValueError: if a file of the bundle is damaged, or a network of a kind that cannot be written as a graph.
    """
    graph, config, sampling = Graph(), bundle.config, options.sampling
    require_known(config)
    network = Dynamics(graph, bundle)
    outcome = UnknownOutcome(graph) if config.outcome is None else Outcome(graph, bundle, config.outcome)
    given = _inputs(graph, config, options.diversity_window)
    order = group_order(config.dynamics)
    uniform = Uniform(graph, given.key_B, given.step_B, lanes(order, sampling.decode_steps))
    table = latent_table(config, options.action_type)
    executed_B = diversify(
        graph, given.action_B, given.recent_BK, table.shape[1], given.action_diversity_B, uniform.take(2)
    )
    latent_B = _latent(graph, table, given.recent_BK.last(1).reshape(-1), executed_B)
    latent_B = graph.where(given.forced_latent_B >= 0, given.forced_latent_B, latent_B)
    current_BN = given.tokens_BCN.last(1).remove(1).take(graph.constant(order), axis=1)
    features, fresh = network.trunk(current_BN, latent_B, given.time_B, given.memory)
    drawn_BN, entropy_B = draw_frame(graph, network, sampling, features, current_BN, given.temperature_B, uniform)
    drawn_BN = drawn_BN.take(graph.constant(np.argsort(order)), axis=1)
    next_BCN = graph.concat(given.tokens_BCN.from_second(1), drawn_BN.insert(1), axis=1)
    reward_B, ended_B = outcome.judge(next_BCN)

    graph.output("next_tokens", next_BCN, "B", *tokens_shape(config))
    recent_BK = graph.concat(given.recent_BK.from_second(1), executed_B.insert(1), axis=1)
    graph.output("next_recent_actions", recent_BK, "B", options.diversity_window)
    names = ("executed_action", "latent_action", "reward", "terminated", "entropy")
    for name, value in zip(names, (executed_B, latent_B, reward_B, ended_B, entropy_B), strict=True):
        graph.output(name, value, "B")
    places, _, width = memory_shape(config.dynamics)
    for index, (keys, values) in enumerate(fresh):
        graph.output(f"fresh_keys_{index}", keys, "B", places, width)
        graph.output(f"fresh_values_{index}", values, "B", places, width)
    return graph.model(f"{config.name}_step", "genie_env", genie_env.__version__, _metadata(bundle, options))


class _Inputs(NamedTuple):
    action_B: Value
    forced_latent_B: Value
    temperature_B: Value
    action_diversity_B: Value
    key_B: Value
    step_B: Value
    time_B: Value
    recent_BK: Value
    tokens_BCN: Value
    memory: list[Memory]


def _inputs(graph: Graph, config: WorldConfig, window: int) -> _Inputs:
    shape = memory_shape(config.dynamics)
    return _Inputs(
        *(graph.input(name, np.int64, "B") for name in ("action", "forced_latent")),
        *(graph.input(name, np.float32, "B") for name in ("temperature", "action_diversity")),
        *(graph.input(name, np.int64, "B") for name in ("key", "step", "time")),
        recent_BK=graph.input("recent_actions", np.int64, "B", window),
        tokens_BCN=graph.input("tokens", np.int64, "B", *tokens_shape(config)),
        memory=[
            Memory(*(graph.input(f"{kind}_{layer}", np.float32, "B", *shape) for kind in ("keys", "values")))
            for layer in range(config.dynamics.num_layers)
        ],
    )


def tokens_shape(config: WorldConfig) -> tuple[int, int]:
    """Frames and tokens of a row's ``tokens``."""
    return 1 if config.outcome is None else config.outcome.context_frames, config.dynamics.num_tokens


def memory_shape(config: DynamicsConfig) -> tuple[int, int, int]:
    """Places (positions times heads), frames and channels of a row's keys or values in one layer."""
    return config.num_groups * config.num_heads, config.window, config.width // config.num_heads


def _metadata(bundle: Bundle, options: StepOptions) -> dict[str, str]:
    """What somebody who has only the graph must know."""
    config = bundle.config
    sampling = {name: value for name, value in options.sampling.to_json().items() if name != "temperature"}
    return {
        "contract": str(CONTRACT),
        "world": config.name,
        "dynamics_sha256": bundle.checksum("dynamics.safetensors"),
        "outcome_sha256": "" if config.outcome is None else bundle.checksum("outcome.safetensors"),
        "action_type": options.action_type,
        "num_actions": str(latent_table(config, options.action_type).shape[1]),
        "temperature": str(options.sampling.temperature),
        "sampling": json.dumps(sampling),
    }


def _latent(graph: Graph, table: np.ndarray, before_B: Value, action_B: Value) -> Value:
    rows, columns = table.shape
    row_B = graph.where(before_B < 0, graph.constant(np.array(rows - 1)), before_B)
    return graph.constant(table.ravel()).take(row_B * columns + action_B)
