"""How tokens and actions are drawn, as parts of a graph: what :mod:`genie_env.rollout.sampling` computes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genie_env.config import SamplingConfig
from genie_env.portable.graph import Graph, Value
from genie_env.portable.network import Dynamics

LANE_TOKENS, LANE_ORDER, LANE_ACTION = 0, 1 << 20, 1 << 21
NUM_CANDIDATES = 32
# Not minus infinity, which times a probability of 0 is no number.
NEVER = np.float32(-1e30)


class Uniform:
    """All uniform numbers of one step, [B, lanes]: a hash of the row's key, its step and the lane."""

    def __init__(self, graph: Graph, key_B: Value, step_B: Value, lanes: np.ndarray) -> None:
        base_B1 = _mix(graph, key_B + step_B * 0x1E3779B97F4A7C15).insert(1)
        bits = _mix(graph, base_B1 ^ graph.constant(_mixed((lanes * 0x3C79AC492BA7B653 + 1).astype(np.int64))))
        high = graph.op("BitwiseAnd", _shift(graph, bits, 11), graph.constant(np.array(0xFFFFFF, np.int64)))
        self._all, self._next = high.cast(np.float32) * (1 / 0x1000000), 0

    def take(self, count: int) -> Value:
        """The next ``count`` of them, [B, count]."""
        begin, self._next = self._next, self._next + count
        return self._all.slice(1, begin, self._next)


def lanes(order_N: np.ndarray, passes: int) -> np.ndarray:
    """The lanes of a step in the order in which they are taken: the action's, then each pass' tokens and order."""
    count, parts = len(order_N), [LANE_ACTION + np.arange(2)]
    for index in range(passes):
        parts += [LANE_TOKENS + index * count + order_N]
        parts += [LANE_ORDER + index * count + order_N] if index + 1 < passes else []
    return np.concatenate(parts)


def _mix(graph: Graph, x: Value) -> Value:
    x = (x ^ _shift(graph, x, 30)) * -0x40A7B892E31B1A47
    x = (x ^ _shift(graph, x, 27)) * -0x6B2FB644ECCEEE15
    return x ^ _shift(graph, x, 31)


def _shift(graph: Graph, x: Value, bits: int) -> Value:
    shifted = graph.op("BitShift", x.cast(np.uint64), graph.constant(np.array(bits, np.uint64)), direction="RIGHT")
    return shifted.cast(np.int64)


def _mixed(x: np.ndarray) -> np.ndarray:
    """The same for constants."""
    x = x.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).astype(np.int64)


def diversify(graph: Graph, action_B: Value, recent_BK: Value, num_actions: int, chance_B: Value, u_B2: Value) -> Value:
    """Replace actions, with the given chance, by one of the least used of the recent ones."""
    same = recent_BK.insert(2).equals(graph.constant(np.arange(num_actions)))
    counts_BA = same.cast(np.int64).sum(1)
    least = graph.op("ReduceMin", counts_BA, graph.ints(1), keepdims=1)
    least_BA = counts_BA.equals(least).cast(np.float32)
    nth_B1 = graph.op("Floor", u_B2.slice(1, 1, 2) * least_BA.sum(keep=True))
    rank_BA = graph.op("CumSum", least_BA, graph.constant(np.array(1))) - 1
    chosen_BA = rank_BA.equals(nth_B1).cast(np.float32) * least_BA
    chosen_B = graph.op("ArgMax", chosen_BA, axis=1, keepdims=0, dtype=np.int64)
    return graph.where(u_B2.slice(1, 0, 1).reshape(-1) < chance_B, chosen_B, action_B)


class Candidates(NamedTuple):
    """The likeliest values of each drawn token, best first, and how open the choice is."""

    log_probs_BMK: Value
    values_BMK: Value
    entropy_BM: Value


def candidates(graph: Graph, logits_XV: Value, stay_BM: Value, present_BM: Value, vocab_size: int) -> Candidates:
    """The best values of a gate and a vocabulary, as in :class:`genie_env.models.dynamics.Dynamics`.

    Log-probabilities of the whole vocabulary are never made: the best of all are among the best that a token may
    change to and the one that it is.

    Args:
        graph: that is written.
        logits_XV: of what each token changes to, all rows' tokens on one axis, X = B * M.
        stay_BM: logit of each token's staying what it is.
        present_BM: int64, what it is.
        vocab_size: V.
    """
    g, present_X1, stay_X1 = graph, present_BM.reshape(-1, 1), stay_BM.reshape(-1, 1)
    never_X1 = g.op("Expand", g.constant(np.full((1, 1), NEVER)), g.op("Shape", present_X1, dtype=np.int64))
    logits_XV = logits_XV.put_along(present_X1, never_X1, 1)
    probs_XV = g.op("Softmax", logits_XV, axis=-1)
    count = g.ints(min(NUM_CANDIDATES, vocab_size - 1))
    best_XK, values_XK = g.ops("TopK", logits_XV, count, axis=1, dtypes=(None, np.int64))
    # The largest logit and its probability tell the logarithm of the sum of all.
    total_X1 = best_XK.slice(1, 0, 1) - g.op("Log", probs_XV.take_along(values_XK.slice(1, 0, 1), 1))
    log_stay, log_change = -g.op("Softplus", -stay_X1), -g.op("Softplus", stay_X1)
    p_stay, p_change = g.op("Exp", log_stay), g.op("Exp", log_change)
    entropy = (total_X1 - (probs_XV * logits_XV).sum(keep=True) - log_change) * p_change - log_stay * p_stay

    all_XK = g.concat(best_XK - total_X1 + log_change, log_stay, axis=1)
    kept = min(NUM_CANDIDATES, vocab_size)
    best_XK, which_XK = g.ops("TopK", all_XK, g.ints(kept), axis=1, dtypes=(None, np.int64))
    values_XK = g.concat(values_XK, present_X1, axis=1).take_along(which_XK, 1)
    shape_BM = g.op("Shape", present_BM, dtype=np.int64)
    shape_BMK = g.concat(shape_BM, g.ints(kept), axis=0)
    return Candidates(
        g.op("Reshape", best_XK, shape_BMK),
        g.op("Reshape", values_XK, shape_BMK),
        g.op("Reshape", entropy, shape_BM),
    )


def draw(
    graph: Graph, choice: Candidates, temperature_B: Value, top_p: float, uniform_BM: Value
) -> tuple[Value, Value]:
    """Tokens drawn from the nucleus, and where it was a single one: int64 and bool [B, M]."""
    g, zero = graph, graph.constant(np.array(0))
    divisor_B = g.op("Max", temperature_B, g.constant(np.array(1e-3, np.float32)))
    probs_BMK = g.op("Softmax", choice.log_probs_BMK / divisor_B.reshape(-1, 1, 1), axis=-1)
    reached_BMK = g.op("CumSum", probs_BMK, g.constant(np.array(2)))
    last_BM1 = (reached_BMK - probs_BMK < top_p).cast(np.int64).sum(keep=True) - 1
    target_BM1 = uniform_BM.insert(2) * reached_BMK.take_along(last_BM1)
    index_BM1 = g.op("Min", (reached_BMK <= target_BM1).cast(np.int64).sum(keep=True), last_BM1)
    cold_B1 = (temperature_B <= 0).insert(1)
    index_BM1 = g.where(cold_B1.insert(2), zero, index_BM1)
    return choice.values_BMK.take_along(index_BM1).remove(2), cold_B1 | last_BM1.remove(2).equals(0)


def decide(graph: Graph, certain_BN: Value, order_BN: Value, num_tokens: int, share: float) -> Value:
    """Which tokens stay after a pass: the certain ones and a share of the others, in random order."""
    g = graph
    order_BN = g.where(certain_BN, g.constant(np.array(2, np.float32)), order_BN)
    _, places_BN = g.ops("TopK", order_BN, g.ints(num_tokens), axis=1, largest=0, dtypes=(None, np.int64))
    ranks_BN = g.op("Expand", g.constant(np.arange(num_tokens)[None]), g.op("Shape", places_BN, dtype=np.int64))
    rank_BN = places_BN.put_along(places_BN, ranks_BN, 1)
    open_B1 = (~certain_BN).cast(np.float32).sum(keep=True)
    quota_B1 = g.op("Max", g.op("Floor", open_B1 * share), g.constant(np.array(1, np.float32)))
    return certain_BN | (rank_BN.cast(np.float32) < quota_B1)


class Least(NamedTuple):
    """The tokens of a frame that are least likely to stay."""

    where_BM: Value
    stay_BM: Value
    out_BME: Value


def draw_frame(
    graph: Graph,
    dynamics: Dynamics,
    sampling: SamplingConfig,
    features_MD: Value,
    current_BN: Value,
    temperature_B: Value,
    uniform: Uniform,
) -> tuple[Value, Value]:
    """Tokens int64 [B, N] of the next frame and the first pass' mean entropy [B], as the rollout engine draws them."""
    g, c, passes = graph, dynamics.config, sampling.decode_steps
    num_drawn = min(sampling.max_changed, c.num_tokens)
    decided_BN: Value | None = None
    tokens_BN, entropy_B = current_BN, None
    for index in range(passes):
        open_BN = None if decided_BN is None else decided_BN.equals(c.vocab_size)
        least = least_staying(g, dynamics, dynamics.head(features_MD, decided_BN), open_BN, num_drawn)
        present_BM = current_BN.take_along(least.where_BM, 1)
        logits_XV = dynamics.change_logits(least.out_BME.reshape(-1, c.token_dim))
        choice = candidates(g, logits_XV, least.stay_BM, present_BM, c.vocab_size)
        uniform_BM = uniform.take(c.num_tokens).take_along(least.where_BM, 1)
        drawn_BM, certain_BM = draw(g, choice, temperature_B, sampling.top_p, uniform_BM)
        tokens_BN = current_BN.put_along(least.where_BM, drawn_BM, 1)
        certain_BN = None if index + 1 == passes else _spread(g, least.where_BM, certain_BM, current_BN)
        if decided_BN is not None and open_BN is not None:
            tokens_BN = g.where(open_BN, tokens_BN, decided_BN)
            certain_BN = None if certain_BN is None else certain_BN | ~open_BN
        if entropy_B is None:
            entropy_B = choice.entropy_BM.sum() * (1 / c.num_tokens)
        if certain_BN is not None:
            share = ((index + 1) / passes) ** 2
            kept_BN = decide(g, certain_BN, uniform.take(c.num_tokens), c.num_tokens, share)
            decided_BN = g.where(kept_BN, tokens_BN, g.constant(np.array(c.vocab_size)))
    assert entropy_B is not None
    return tokens_BN, entropy_B


def least_staying(graph: Graph, dynamics: Dynamics, out_BNE: Value, open_BN: Value | None, count: int) -> Least:
    """The ``count`` undecided tokens that are least likely to stay; None where all are undecided."""
    g, width = graph, dynamics.config.token_dim
    stay_BN = out_BNE.last(2).remove(2) + dynamics.weights("stay_bias")
    if open_BN is not None:
        stay_BN = g.where(open_BN, stay_BN, g.constant(np.array(np.inf, np.float32)))
    stay_BM, where_BM = g.ops("TopK", stay_BN, g.ints(count), axis=1, largest=0, sorted=0, dtypes=(None, np.int64))
    out_BME = g.op("GatherND", out_BNE.slice(2, 0, width), where_BM.insert(2), batch_dims=1)
    return Least(where_BM, stay_BM, out_BME)


def _spread(graph: Graph, where_BM: Value, certain_BM: Value, current_BN: Value) -> Value:
    """Certainty of all tokens [B, N]: those that were not drawn are certain."""
    ones_BN = graph.op("Expand", graph.ints(1), graph.op("Shape", current_BN, dtype=np.int64))
    return ones_BN.put_along(where_BM, certain_BM.cast(np.int64), 1) > 0
