"""From tokens to pictures, as a graph: what :mod:`genie_env.models.tokenizer` decodes."""

from __future__ import annotations

import numpy as np

import genie_env
from genie_env.bundle import Bundle
from genie_env.config import ENCODER_DEPTH, TokenizerConfig
from genie_env.portable.graph import Graph, Value
from genie_env.portable.kinds import require_known
from genie_env.portable.libraries import ModelProto
from genie_env.portable.weights import Weights

NORM_GROUPS = 8
EPSILON = 1e-5


def pictures_model(bundle: Bundle) -> ModelProto:
    """Build the graph that turns ``tokens`` int64 [B, N] into ``pictures`` uint8 [B, H, W, 3].

    Raises:
        ValueError: if the tokenizer's file is damaged, or it is of a kind that cannot be written as a graph.
    """
    require_known(bundle.config)
    graph, c = Graph(), bundle.config.tokenizer
    tokens_BN = graph.input("tokens", np.int64, "B", c.num_tokens)
    decode = _decode_patches if c.kind == "codebook" else _decode_fsq
    pictures = decode(graph, bundle, c, tokens_BN)
    graph.output("pictures", pictures, "B", c.image_size, c.image_size, 3)
    return graph.model(f"{bundle.config.name}_pictures", "genie_env", genie_env.__version__, {})


def _decode_patches(graph: Graph, bundle: Bundle, c: TokenizerConfig, tokens_BN: Value) -> Value:
    size = c.patch_size
    weights = Weights(graph, bundle, "tokenizer", {"patches_VK": (c.vocab_size, 3 * size**2)})
    patches = weights("patches_VK").take(tokens_BN).reshape(-1, c.side, c.side, size, size, 3)
    return patches.transpose(0, 1, 3, 2, 4, 5).reshape(-1, c.image_size, c.image_size, 3)


def _decode_fsq(graph: Graph, bundle: Bundle, c: TokenizerConfig, tokens_BN: Value) -> Value:
    widths = fsq_widths(c)
    weights = Weights(graph, bundle, "tokenizer", fsq_shapes(c))
    latents_BNL = graph.constant(fsq_latents(c)).take(tokens_BN)
    x_BCHW = latents_BNL.transpose(0, 2, 1).reshape(-1, len(c.levels), c.side, c.side)
    x_BCHW = _convolve(graph, weights, "decoder.0", x_BCHW, 1)
    side = c.side
    for stage, width in enumerate(reversed(widths)):
        first = 1 + 4 * stage
        x_BCHW = _residual(graph, weights, f"decoder.{first}", x_BCHW, width, side)
        x_BCHW = _convolve(graph, weights, f"decoder.{first + 1}", x_BCHW, 1)
        x_BCHW = _silu(graph, graph.op("DepthToSpace", x_BCHW, blocksize=2, mode="CRD"))
        side *= 2
    x_BCHW = _convolve(graph, weights, f"decoder.{1 + 4 * len(widths)}", x_BCHW, 1)
    levels = graph.op("Round", (x_BCHW + 1.0) * 127.5)
    low, high = (graph.constant(np.array(bound, np.float32)) for bound in (0, 255))
    return graph.op("Clip", levels, low, high).cast(np.uint8).transpose(0, 2, 3, 1)


def _residual(graph: Graph, weights: Weights, name: str, x_BCHW: Value, width: int, side: int) -> Value:
    # GroupNorm is a newer operator than the others: groups as channels of another picture are the same.
    ones, zeros = (graph.constant(np.full(NORM_GROUPS, value, np.float32)) for value in (1, 0))
    normed = graph.op("InstanceNormalization", x_BCHW.reshape(0, NORM_GROUPS, -1), ones, zeros, epsilon=EPSILON)
    scale, bias = (weights(f"{name}.norm.{part}").reshape(1, -1, 1, 1) for part in ("weight", "bias"))
    inner = normed.reshape(-1, width, side, side) * scale + bias
    inner = _silu(graph, _convolve(graph, weights, f"{name}.conv_in", inner, 1))
    return x_BCHW + _convolve(graph, weights, f"{name}.conv_out", inner, 0)


def _convolve(graph: Graph, weights: Weights, name: str, x: Value, pad: int) -> Value:
    return graph.op("Conv", x, weights(f"{name}.weight"), weights(f"{name}.bias"), pads=[pad] * 4)


def _silu(graph: Graph, x: Value) -> Value:
    return x * graph.op("Sigmoid", x)


def fsq_widths(c: TokenizerConfig) -> list[int]:
    """Channels of the encoder's stages, from the picture to the tokens."""
    return [c.channels * 2**stage for stage in range(c.patch_size.bit_length() - 1)]


def fsq_latents(c: TokenizerConfig) -> np.ndarray:
    """float32 [V, L]: the quantised latents that each token stands for."""
    levels_L = np.array(c.levels)
    basis_L = np.concatenate([[1], levels_L[:-1].cumprod()])
    digits_VL = np.arange(c.vocab_size)[:, None] // basis_L % levels_L
    shift_L = np.where(levels_L % 2 == 0, np.float32(-0.5), np.float32(0))
    half_L = (levels_L - 1).astype(np.float32) / 2
    return ((digits_VL - levels_L // 2).astype(np.float32) - shift_L) / half_L


def fsq_shapes(c: TokenizerConfig) -> dict[str, tuple[int, ...]]:
    """Tensors of an FSQ tokenizer, both halves."""
    widths, latents, shapes = fsq_widths(c), len(c.levels), {}

    def convolution(name: str, into: int, out: int, size: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, into, size, size), (out,)

    def residual(name: str, width: int) -> None:
        shapes[f"{name}.norm.weight"] = shapes[f"{name}.norm.bias"] = (width,)
        convolution(f"{name}.conv_in", width, width, 3)
        convolution(f"{name}.conv_out", width, width, 1)

    def linear(name: str, into: int, out: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, into), (out,)

    if c.encoder == "patches":
        inner = c.encoder_width
        linear("encoder.enter", 3 * c.patch_size**2, inner)
        for block in range(ENCODER_DEPTH):
            shapes[f"encoder.blocks.{block}.norm.weight"] = shapes[f"encoder.blocks.{block}.norm.bias"] = (inner,)
            linear(f"encoder.blocks.{block}.inner", inner, inner)
            linear(f"encoder.blocks.{block}.outer", inner, inner)
        linear("encoder.leave", inner, latents)
    else:
        for stage, width in enumerate(widths):
            convolution(f"encoder.{3 * stage}", widths[stage - 1] if stage else 3, width, 4)
            residual(f"encoder.{3 * stage + 2}", width)
        convolution(f"encoder.{3 * len(widths)}", widths[-1], latents, 1)
    convolution("decoder.0", latents, widths[-1], 3)
    for stage, width in enumerate(reversed(widths)):
        narrower = widths[-2 - stage] if stage + 1 < len(widths) else c.channels
        residual(f"decoder.{1 + 4 * stage}", width)
        convolution(f"decoder.{2 + 4 * stage}", width, 4 * narrower, 3)
    convolution(f"decoder.{1 + 4 * len(widths)}", c.channels, 3, 3)
    return shapes
