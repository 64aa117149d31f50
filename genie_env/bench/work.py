"""What a step must compute and move, counted, and what the machine could do, measured.

Only useful work counts: matrix products and attention as floating-point operations (a multiply-add is two), and as
bytes what must come from memory or go to it however good the program is. Activations are taken to stay in caches.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from genie_env.bench.clock import seconds_per_call
from genie_env.bench.speed import CachedDreams
from genie_env.config import SamplingConfig
from genie_env.models.ensemble import trunks_and_heads
from genie_env.models.outcome import ROW_BLOCK
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
    (trunks, heads), c = trunks_and_heads(world.dynamics), world.config.dynamics
    head = sum(_size(one.enter_head, one.head, one.leave, one.embed) for one in heads)
    weights = sum(_size(one.blocks, one.enter) for one in trunks) + _size(world.outcome)
    weights += sampling.decode_steps * head
    ring_entry = c.num_groups * c.width * 2 * c.num_layers * len(trunks)
    # The whole ring is read, one entry of it is written.
    moved = ring_entry * (c.window + 1) * 4
    if pixels:
        # Written once; a patch codebook also reads each pixel once.
        moved += 2 * 3 * world.config.tokenizer.image_size**2
    return Work(rows * _flops_per_row(world, sampling, pixels), 4 * weights + rows * moved)


def _flops_per_row(world: World, sampling: SamplingConfig, pixels: bool) -> float:
    """Operations of a step, counted while it runs."""
    # In a whole block: rows that the outcome head adds to fill one are no useful work.
    dreams = CachedDreams(world, ROW_BLOCK, sampling)
    # PyTorch's counter knows attention only where it is written out as products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        (dreams.step_with_pixels if pixels else dreams.step)()
    return counter.get_total_flops() / ROW_BLOCK


def _size(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


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
