"""What a step must compute and move, counted from shapes, and what the machine could do, measured.

Only useful work counts: matrix products and attention as floating-point operations (a multiply-add is two), and as
bytes what must come from memory or go to it however good the program is. Activations are taken to stay in caches.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from genie_env.bench.clock import seconds_per_call
from genie_env.config import SamplingConfig
from genie_env.models.tokenizer import FSQTokenizer
from genie_env.world import World

MATRIX_SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
COPY_BYTES = {"cpu": 1 << 27, "cuda": 1 << 31}


class Work(NamedTuple):
    """Of one step of all rows."""

    flops: float
    bytes: float


class Ceilings(NamedTuple):
    """What the machine reaches at its best, with all its threads."""

    flops_per_second: float
    """The fastest of some square float32 matrix products."""
    bytes_per_second: float
    """Read and written by a copy that is too large for caches."""


class Efficiency(NamedTuple):
    """Useful work of an environment step with pictures, against the ceilings."""

    rows: int
    megaflops_per_row: float
    kilobytes_per_row: float
    gigaflops_per_second: float
    of_matrix_ceiling: float
    gigabytes_per_second: float
    of_copy_ceiling: float


def step_work(world: World, rows: int, sampling: SamplingConfig, pixels: bool = True) -> Work:
    """Useful work of one step once the window is full.

    Args:
        world: whose networks are counted.
        rows: stepped together; they share one reading of the weights.
        sampling: its passes and drawn tokens.
        pixels: whether tokens are decoded to pictures.
    """
    flops = _trunk_flops(world) + _draw_flops(world, sampling) + _outcome_flops(world)
    weights = _size(world.dynamics.blocks) + _size(world.dynamics.enter) + _size(world.outcome)
    weights += sampling.decode_steps * (_head_size(world) + _size(world.dynamics.embed))
    c = world.config.dynamics
    ring_entry = c.num_groups * c.width * 2 * c.num_layers
    # The whole ring is read, one entry of it is written.
    moved = ring_entry * (c.window + 1) * 4
    if pixels:
        flops += _picture_flops(world)
        # Written once; a patch codebook also reads each pixel once.
        moved += 2 * 3 * world.config.tokenizer.image_size**2
    return Work(rows * flops, 4 * weights + rows * moved)


def _trunk_flops(world: World) -> float:
    c, dynamics = world.config.dynamics, world.dynamics
    matrices = sum(p.numel() for p in dynamics.blocks.parameters() if p.ndim == 2) + dynamics.enter.weight.numel()
    # Queries against keys and weights against values; a frame's positions among themselves, and each over time.
    attention = 4 * c.num_layers * c.num_groups * c.width * (c.num_groups + c.window)
    return 2 * c.num_groups * matrices + attention


def _draw_flops(world: World, sampling: SamplingConfig) -> float:
    c = world.config.dynamics
    drawn = min(sampling.max_changed, c.num_tokens)
    attention = 4 * c.head_layers * c.num_groups**2 * c.width
    vocabulary = 2 * drawn * c.token_dim * c.vocab_size
    return sampling.decode_steps * (2 * c.num_groups * _head_size(world) + attention + vocabulary)


def _head_size(world: World) -> int:
    """Numbers in the matrices of the decoding head."""
    parts = (world.dynamics.enter_head, world.dynamics.head, world.dynamics.leave)
    return sum(p.numel() for part in parts for p in part.parameters() if p.ndim == 2)


def _outcome_flops(world: World) -> float:
    head = world.outcome
    return 2 * (head.config.num_tokens * head.place.weight.numel() + head.mix.weight.numel() + head.out.weight.numel())


def _picture_flops(world: World) -> float:
    """Convolutions of the decoder; a patch codebook has none."""
    if not isinstance(world.tokenizer, FSQTokenizer):
        return 0.0
    flops, side = 0.0, world.config.tokenizer.side
    for module in world.tokenizer.decoder.modules():
        if isinstance(module, nn.Conv2d):
            flops += 2 * module.weight.numel() * side**2
        elif isinstance(module, nn.PixelShuffle):
            side *= module.upscale_factor
    return flops


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def measure_ceilings(device: torch.device, seconds: float = 1.0) -> Ceilings:
    """Time matrix products and a large copy, about ``seconds`` each, and take the best call of each."""
    rates = []
    for size in MATRIX_SIZES[device.type]:
        a, b = torch.randn(2, size, size, device=device)
        out = torch.empty(size, size, device=device)
        best = seconds_per_call(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device, 50, seconds / 3).min()
        rates.append(2 * size**3 / best)
    source = torch.zeros(COPY_BYTES[device.type] // 4, device=device)
    target = torch.empty_like(source)
    copy = seconds_per_call(lambda: target.copy_(source), device, 50, seconds).min()
    return Ceilings(float(max(rates)), 2 * source.nbytes / float(copy))


def efficiency(world: World, rows: int, steps_per_second: float, ceilings: Ceilings) -> Efficiency:
    """Useful work per second of environments that step so fast, in shares of the ceilings."""
    work = step_work(world, rows, world.config.sampling)
    flops, moved = (value / rows * steps_per_second for value in work)
    return Efficiency(
        rows,
        work.flops / rows / 1e6,
        work.bytes / rows / 1e3,
        flops / 1e9,
        flops / ceilings.flops_per_second,
        moved / 1e9,
        moved / ceilings.bytes_per_second,
    )
