"""The dynamics and the outcome head as parts of a graph: what :mod:`genie_env.models` computes, for one frame.

Positions and rows are one axis of every matrix product, ``M = B * G``, so that a row's numbers do not depend on how
many rows there are. Tokens are in *group order*: those that share a position of the transformer are neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genie_env.bundle import Bundle
from genie_env.config import DynamicsConfig, OutcomeConfig
from genie_env.portable.graph import Graph, Value
from genie_env.portable.weights import Weights

EPSILON = 1e-5
PERIOD_WINDOWS = 4


class Memory(NamedTuple):
    """Keys and values [B, P, window, E] of one layer."""

    keys: Value
    values: Value


class Fresh(NamedTuple):
    """Keys and values [B, P, E] of the present frame in one layer."""

    keys: Value
    values: Value


def group_order(config: DynamicsConfig) -> np.ndarray:
    """int64 [N]: which token comes first, second, … in group order."""
    side, g = config.side // config.group, config.group
    return np.arange(config.num_tokens).reshape(side, g, side, g).transpose(0, 2, 1, 3).ravel()


class Dynamics:
    """Trunk and head, one frame a time."""

    def __init__(self, graph: Graph, bundle: Bundle) -> None:
        self.graph, self.config = graph, bundle.config.dynamics
        config = self.config
        self.weights = Weights(graph, bundle, "dynamics", dynamics_shapes(config))
        self.head_width = config.width // config.num_heads
        self.scale = 1.5 / np.sqrt(self.head_width)

    def trunk(
        self, tokens_BN: Value, action_B: Value, time_B: Value, memory: list[Memory]
    ) -> tuple[Value, list[Fresh]]:
        """Features [M, D] of the present frame, and what each layer must remember of it."""
        c, fresh = self.config, []
        x = self._linear(self._embed(tokens_BN), "enter.weight").reshape(-1, c.num_groups, c.width)
        x = x + self.weights("position") + self.weights("embed_action.weight").take(action_B).insert(1)
        x_MD = x.reshape(-1, c.width)
        cosine, sine, bias_B1W = self._when(time_B)
        for index, layer in enumerate(memory):
            name = f"blocks.{index}"
            x_MD = self._space(x_MD, name)
            x_MD, kept = self._time(x_MD, name, layer, cosine, sine, bias_B1W)
            fresh.append(kept)
            x_MD = self._mlp(x_MD, name)
        return x_MD, fresh

    def head(self, features_MD: Value, decided_BN: Value | None) -> Value:
        """Outputs [B, N, token_dim + 1] about the next frame; None where no token of it is decided yet."""
        c = self.config
        if decided_BN is None:
            members = c.group**2
            mask = self.weights("embed.weight").slice(0, c.vocab_size, c.vocab_size + 1)
            entered = self._linear(self.graph.concat(*[mask] * members, axis=1), "enter_head.weight")
            x_MD = features_MD + entered
        else:
            x_MD = self._linear(self._embed(decided_BN), "enter_head.weight", features_MD)
        for index in range(c.head_layers):
            x_MD = self._mlp(self._space(x_MD, f"head.{index}"), f"head.{index}")
        left = self._linear(self._norm(x_MD, "norm.weight"), "leave.weight")
        return left.reshape(-1, c.num_tokens, c.token_dim + 1)

    def change_logits(self, out_XE: Value) -> Value:
        """Logits [X, V] of what tokens change to, by the first ``token_dim`` of the head's outputs [X, E]."""
        table = self.weights("embed.weight").slice(0, 0, self.config.vocab_size)
        return self.graph.op("Gemm", out_XE, table, self.weights("bias_V"), transB=1)

    def _embed(self, tokens_BN: Value) -> Value:
        c = self.config
        return self.weights("embed.weight").take(tokens_BN).reshape(-1, c.group**2 * c.token_dim)

    def _when(self, time_B: Value) -> tuple[Value, Value, Value]:
        """Rotations of queries (scaled) and keys [B, 1, 2, 1, E] and the bias [B, 1, window] of remembered frames."""
        g, window = self.graph, self.config.window
        cosine, sine = rotations(self.head_width, window)
        scales = np.array([self.scale, 1.0]).reshape(1, 1, 2, 1, 1)
        at_B = time_B % (PERIOD_WINDOWS * window)
        tables = [g.constant((t[:, None, None, None] * scales).astype(np.float32)) for t in (cosine, sine)]
        cosine_B, sine_B = (table.take(at_B) for table in tables)
        # Later than one window, only the slot that is about to be overwritten is hidden.
        row_B = g.op("Min", time_B, time_B % window + window)
        return cosine_B, sine_B, g.constant(hidden_bias(window)).take(row_B).insert(1)

    def _space(self, x_MD: Value, name: str) -> Value:
        c, g = self.config, self.graph
        heads, width = c.num_heads, self.head_width
        qk, v_MD = self._qk_v(x_MD, name, "space", np.sqrt(self.scale))
        qk = qk.reshape(-1, c.num_groups, 2 * heads, width).transpose(0, 2, 1, 3)
        q, k = g.ops("Split", qk, axis=1, num_outputs=2, dtypes=(None, None))
        v = v_MD.reshape(-1, c.num_groups, heads, width).transpose(0, 2, 1, 3)
        mixed = g.op("Softmax", q @ k.transpose(0, 1, 3, 2), axis=-1) @ v
        return self._linear(mixed.transpose(0, 2, 1, 3).reshape(-1, c.width), f"{name}.space.out.weight", x_MD)

    def _time(
        self, x_MD: Value, name: str, memory: Memory, cosine: Value, sine: Value, bias_B1W: Value
    ) -> tuple[Value, Fresh]:
        c, g = self.config, self.graph
        heads, width = c.num_heads, self.head_width
        places = c.num_groups * heads
        qk, v_MD = self._qk_v(x_MD, name, "time", 1.0)
        qk = qk.reshape(-1, c.num_groups, 2, heads, width)
        qk = qk * cosine + (qk @ g.constant(swap_pairs(width))) * sine
        q, k = (
            part.reshape(-1, places, width) for part in g.ops("Split", qk, axis=2, num_outputs=2, dtypes=(None, None))
        )
        v = v_MD.reshape(-1, places, width)
        # The present frame stands beside the remembered ones: nothing of them is copied.
        past = (memory.keys @ q.insert(3)).reshape(-1, places, c.window) + bias_B1W
        weights = g.op("Softmax", g.concat(past, (q * k).sum(keep=True), axis=2), axis=-1)
        past, present = g.ops("Split", weights, g.ints(c.window, 1), axis=2, dtypes=(None, None))
        mixed = (past.insert(2) @ memory.values).remove(2) + present * v
        return self._linear(mixed.reshape(-1, c.width), f"{name}.time.out.weight", x_MD), Fresh(k, v)

    def _qk_v(self, x_MD: Value, name: str, kind: str, scale: float) -> tuple[Value, Value]:
        """Normalised queries and keys [M, 2 * heads, E], and values [M, D]."""
        c, weights = self.config, f"{name}.{kind}.qkv.weight"
        normed = self._norm(x_MD, f"{name}.norm_{kind}.weight")
        split = 2 * c.width
        qk = self._linear(normed, weights, rows=(0, split)).reshape(-1, 2 * c.num_heads, self.head_width)
        ones = self.graph.constant(np.full(self.head_width, scale, np.float32))
        qk = self.graph.op("LayerNormalization", qk, ones, axis=-1, epsilon=EPSILON)
        return qk, self._linear(normed, weights, rows=(split, 3 * c.width))

    def _mlp(self, x_MD: Value, name: str) -> Value:
        up = self.graph.op("Relu", self._linear(self._norm(x_MD, f"{name}.norm_mlp.weight"), f"{name}.mlp.up.weight"))
        return self._linear(up * up, f"{name}.mlp.down.weight", x_MD)

    def _norm(self, x: Value, name: str) -> Value:
        return self.graph.op("LayerNormalization", x, self.weights(name), axis=-1, epsilon=EPSILON)

    def _linear(self, x_MD: Value, name: str, plus: Value | None = None, rows: tuple[int, int] | None = None) -> Value:
        """Product with the transpose of a weight, or of some of its rows, added to ``plus``."""
        weight = self.weights(name) if rows is None else self.weights(name).slice(0, *rows)
        return self.graph.op("Gemm", x_MD, weight, plus, transB=1)


class Outcome:
    """Reward and end from the frames up to the one just reached, whose tokens are in the picture's order."""

    def __init__(self, graph: Graph, bundle: Bundle, config: OutcomeConfig) -> None:
        self.graph, self.config = graph, config
        self.weights = Weights(graph, bundle, "outcome", outcome_shapes(self.config))

    def judge(self, tokens_BCN: Value) -> tuple[Value, Value]:
        """Reward float [B] and end bool [B]."""
        c, g = self.config, self.graph
        context = c.context_frames
        x = self.weights("embed.weight").take(tokens_BCN).transpose(0, 2, 1, 3).reshape(0, 0, context * c.token_dim)
        changed = tokens_BCN.from_second(1).equals(tokens_BCN.slice(1, 0, context - 1))
        changed = (~changed).cast(np.float32).transpose(0, 2, 1)
        x = g.concat(x, changed, axis=2).reshape(-1, context * c.token_dim + context - 1)
        x = self._silu(self._linear(x, "place")).reshape(-1, c.num_tokens * c.token_dim)
        scale, bias = self.weights("norm.weight"), self.weights("norm.bias")
        x = g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=EPSILON)
        out = self._linear(self._silu(self._linear(x, "mix")), "out")
        classes = len(c.rewards)
        best = g.op("ArgMax", out.slice(1, 0, classes), axis=1, keepdims=0, dtype=np.int64)
        ended = out.slice(1, classes, classes + 1).reshape(-1) > 0
        return g.constant(np.array(c.rewards, np.float32)).take(best), ended

    def _linear(self, x: Value, name: str) -> Value:
        return self.graph.op("Gemm", x, self.weights(f"{name}.weight"), self.weights(f"{name}.bias"), transB=1)

    def _silu(self, x: Value) -> Value:
        return x * self.graph.op("Sigmoid", x)


class UnknownOutcome:
    """Stands where neither rewards nor ends are known."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def judge(self, tokens_BCN: Value) -> tuple[Value, Value]:
        """0, float [B], and False, bool [B]."""
        none_B = tokens_BCN.last(1).remove(1).sum(1) < 0
        return none_B.cast(np.float32), none_B


def rotations(width: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine [period, E] of each channel's rotation, as in :mod:`genie_env.nn.attention`."""
    period, pairs = PERIOD_WINDOWS * window, width // 2
    turns = np.linspace(1, period // 4, pairs, dtype=np.float32).round()
    angles = 2 * np.pi * np.arange(period)[:, None] * turns[None] / period
    return np.cos(angles).repeat(2, axis=1), np.sin(angles).repeat(2, axis=1)


def swap_pairs(width: int) -> np.ndarray:
    """float32 [E, E]: the matrix that turns channels (a, b) of each pair into (-b, a)."""
    matrix = np.zeros((width, width), np.float32)
    even = np.arange(0, width, 2)
    matrix[even + 1, even], matrix[even, even + 1] = -1, 1
    return matrix


def hidden_bias(window: int) -> np.ndarray:
    """float32 [2 * window, window]: minus infinity at slots without a past frame, for times up to two windows."""
    time, slot = np.arange(2 * window)[:, None], np.arange(window)[None]
    age = (time - slot) % window
    return np.where((age == 0) | (age > time), -np.inf, 0).astype(np.float32)


def dynamics_shapes(c: DynamicsConfig) -> dict[str, tuple[int, ...]]:
    """Tensors of the dynamics."""
    entered = (c.width, c.group**2 * c.token_dim)
    shapes: dict[str, tuple[int, ...]] = {
        "embed.weight": (c.vocab_size + 1, c.token_dim),
        "embed_action.weight": (c.num_actions, c.width),
        "position": (c.num_groups, c.width),
        "enter.weight": entered,
        "enter_head.weight": entered,
        "norm.weight": (c.width,),
        "leave.weight": (c.group**2 * (c.token_dim + 1), c.width),
        "bias_V": (c.vocab_size,),
        "stay_bias": (),
    }
    blocks = {f"blocks.{i}": ("space", "time") for i in range(c.num_layers)}
    blocks |= {f"head.{i}": ("space",) for i in range(c.head_layers)}
    for name, branches in blocks.items():
        for branch in branches:
            shapes[f"{name}.{branch}.qkv.weight"] = (3 * c.width, c.width)
            shapes[f"{name}.{branch}.out.weight"] = (c.width, c.width)
        shapes |= {f"{name}.norm_{branch}.weight": (c.width,) for branch in (*branches, "mlp")}
        shapes[f"{name}.mlp.up.weight"] = (4 * c.width, c.width)
        shapes[f"{name}.mlp.down.weight"] = (c.width, 4 * c.width)
    return shapes


def outcome_shapes(c: OutcomeConfig) -> dict[str, tuple[int, ...]]:
    """Tensors of the outcome head."""
    read = c.num_tokens * c.token_dim
    shapes: dict[str, tuple[int, ...]] = {"embed.weight": (c.vocab_size, c.token_dim)}
    sizes = {
        "place": (c.token_dim, c.context_frames * c.token_dim + c.context_frames - 1),
        "mix": (c.width, read),
        "out": (len(c.rewards) + 1, c.width),
    }
    for name, shape in sizes.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return {**shapes, "norm.weight": (read,), "norm.bias": (read,)}
