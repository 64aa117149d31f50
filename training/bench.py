"""How fast the dynamics trains: ``python -m training.bench --recipe pong --json bench.json``.

The real loop on tokens made up on the spot, which change as seldom as a game's; speed does not depend on what they
show. Like ``genie-env bench`` it says what machine it was and whether anything else kept it busy.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from genie_env.bench.clock import IDLE_CORES, OtherLoad, machine
from genie_env.bench.report import FORMAT, publish, read_report
from genie_env.bench.work import measure_ceilings
from genie_env.command import run
from genie_env.config import DynamicsConfig
from training.data.token_store import TokenEpisode, TokenStore, write_made_up
from training.dynamics.task import DynamicsTask, TrainDynamicsConfig
from training.engine.clocked_task import ClockedTask
from training.engine.distributed import connect, training_device
from training.engine.loop import LoopConfig, fit
from training.recipes import RECIPES

EPISODES, EPISODE_FRAMES = 720, 1000
"""About what 800,000 steps of Pong are."""
CHANGE_RATE = 1 / 15


@dataclass(frozen=True)
class BenchConfig:
    """Time updates of the dynamics, early (teacher forcing only) and late (with dreamed contexts) in a training."""

    recipe: str = "pong"
    """Name of the recipe whose dynamics is trained."""
    steps: int = 20
    """Updates measured for each figure, after a few that are not."""
    batch_size: int | None = None
    """Rows of a batch; None takes the recipe's."""
    accumulate: int = 1
    """Parts of a batch in each process."""
    precision: str = "auto"
    """``float32``, ``bfloat16`` or ``auto``."""
    device: str = "auto"
    """Torch device."""
    json: Path | None = None
    """Also write the figures to this file."""
    compare: Path | None = None
    """Also print ratios to the figures of an earlier run, written by --json."""


class TrainingSpeed(NamedTuple):
    """Of all processes together."""

    context: str
    """``real``: teacher forcing only; ``dreamed``: as at the end of a training."""
    batch_size: int
    tokens_per_second: float
    """Context tokens: rows times frames times tokens of a frame."""
    updates_per_second: float
    share_of_loss: float
    """Of the time, in the batch, the dream and the forward pass; the rest is backward pass and optimiser."""
    gigaflops_per_update: float
    """Matrix products forward and backward, in this process."""
    of_matrix_ceiling: float


def write_made_up_tokens(folder: Path, size: DynamicsConfig) -> TokenStore:
    """Tokens as of a recording of the usual size, of which one in fifteen changes from frame to frame."""
    rng = np.random.default_rng(0)
    tokens_TEN = np.empty((EPISODE_FRAMES, EPISODES, size.num_tokens), np.uint16)
    tokens_TEN[0] = rng.integers(size.vocab_size, size=tokens_TEN.shape[1:])
    for before_EN, tokens_EN in pairwise(tokens_TEN):
        fresh_EN = rng.integers(size.vocab_size, size=tokens_EN.shape)
        tokens_EN[:] = np.where(rng.random(tokens_EN.shape) < CHANGE_RATE, fresh_EN, before_EN)
    actions_ET = rng.integers(size.num_actions, size=(EPISODES, EPISODE_FRAMES))
    nothing_T = np.zeros(EPISODE_FRAMES, np.int16)
    episodes = [
        TokenEpisode(tokens_TEN[:, e], actions_T, nothing_T, nothing_T, nothing_T)
        for e, actions_T in enumerate(actions_ET)
    ]
    return write_made_up(folder, {"train": episodes, "test": episodes[:1]}, size.tokens, size.num_actions)


def measure(config: TrainDynamicsConfig, steps: int, dreamed: bool, warm_up: int = 3) -> TrainingSpeed:
    """Train for some updates and time them.

    Args:
        config: as for a real training; its loop says how long that would be.
        steps: measured updates.
        dreamed: whether to measure the end of the training, not its beginning.
        warm_up: updates before.
    """
    task, group = DynamicsTask(config), connect()
    clocked = ClockedTask(task, config.loop.n_updates - 1 - warm_up - steps if dreamed else 0)
    loop = replace(config.loop, n_updates=warm_up + steps, checkpoint_every=10**9, eval_every=10**9)
    fit(clocked, loop, config.out / ("dreamed" if dreamed else "real"), "bench")
    # One more part, not timed, to count what it multiplies; attention is counted where it is written out as products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss, _ = task.loss(clocked._first_step, np.random.default_rng(0), torch.Generator().manual_seed(0))
        loss.backward()
    # Parts of one update follow each other; an update is measured from its first part to the next one's.
    begins, ends = (np.array(x).reshape(-1, loop.accumulate)[warm_up:] for x in (clocked.begins, clocked.ends))
    seconds = (begins[-1, 0] - begins[0, 0]) / (len(begins) - 1)
    in_loss = float((ends - begins)[:-1].sum(1).mean())
    flops = counter.get_total_flops() * loop.accumulate
    tokens = loop.batch_size * loop.accumulate * group.count * config.clip_length * task.model.config.num_tokens
    return TrainingSpeed(
        "dreamed" if dreamed else "real",
        loop.batch_size * loop.accumulate * group.count,
        tokens / seconds,
        1 / seconds,
        in_loss / seconds,
        flops / 1e9,
        flops / seconds / measure_ceilings(next(task.model.parameters()).device).flops_per_second,
    )


def measure_recipe(config: BenchConfig) -> dict[str, Any]:
    """Measure and return plain data, as ``genie_env.bench.suite`` does.

    Raises:
        ValueError: if an argument is not as expected.
    """
    if config.recipe not in RECIPES:
        raise ValueError(f"recipe: expected one of {sorted(RECIPES)}, got {config.recipe!r}")
    if config.steps < 2:
        raise ValueError(f"steps: expected a whole number >= 2, got {config.steps}")
    recipe, load = RECIPES[config.recipe], OtherLoad()
    loop: LoopConfig = replace(recipe.dynamics_loop, precision=config.precision, accumulate=config.accumulate)
    loop = replace(loop, batch_size=config.batch_size or loop.batch_size)
    with tempfile.TemporaryDirectory() as name:
        size = recipe.dynamics_config()
        write_made_up_tokens(Path(name) / "tokens", size)
        settings = TrainDynamicsConfig(
            Path(name) / "tokens", Path(name), size, loop, device=config.device, **recipe.dynamics_training
        )
        rows = [measure(settings, config.steps, dreamed)._asdict() for dreamed in (False, True)]
    others = load.cores()
    return {
        "format": FORMAT,
        "machine": {**machine(training_device(config.device)), "precision": config.precision},
        "cores_busy_with_others": others,
        "valid": others <= IDLE_CORES,
        "tables": {"training": rows},
    }


def main(config: BenchConfig) -> None:
    """Command line."""
    # Read first: a bad file should fail before the work rather than after it.
    other = read_report(config.compare) if config.compare is not None else None
    report = measure_recipe(config)
    if connect().is_first:
        publish(report, other, config.json)


if __name__ == "__main__":
    raise SystemExit(run(main, BenchConfig, description=__doc__))
