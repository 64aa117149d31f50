"""Make a world from nothing: ``python -m training.train --recipe pong``.

Stage by stage: record, tokenizer, latent_action, tokenize, dynamics, outcome, export. A stage that is finished is
skipped, one that was killed goes on from its last checkpoint; run the same command again at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genie_env.command import run
from genie_env.config import LatentActionConfig
from training import export, record, train_dynamics, train_latent_action, train_outcome, train_tokenizer
from training.data.tokenize_episodes import TokenizeConfig, tokenize
from training.engine.stages import is_done
from training.recipes import RECIPES, Recipe


@dataclass(frozen=True)
class TrainConfig:
    """Make a world by a recipe."""

    recipe: str = "pong"
    """Name of the recipe (see training/recipes.py)."""
    data: Path | None = None
    """Recording; the default is data/<recipe>."""
    run: Path | None = None
    """Folder for the stages; the default is runs/<recipe>."""
    out: Path | None = None
    """World bundle to make; the default is worlds/<recipe>."""
    only: str = ""
    """Run no further than this stage."""
    compile: bool = False
    """Compile the dynamics while it trains: half a minute at the start, a tenth faster on a CPU."""


def make_world(recipe: Recipe, data: Path, run: Path, out: Path, last: str = "", compile: bool = False) -> None:
    """Run every stage of ``recipe`` that is not finished yet, in order, up to ``last``.

    Raises:
        ValueError: if ``last`` names no stage, or a stage cannot run.
        Interrupted: on Ctrl-C or SIGTERM during training, after a checkpoint.
    """
    stages = _stages(recipe, data, run, out, compile)
    if last and last not in [name for name, _, _ in stages]:
        raise ValueError(f"only: expected one of {[name for name, _, _ in stages]}, got {last!r}")
    for name, done, work in stages:
        if done():
            print(f"{name}: done before, skipped", flush=True)
        else:
            start = time.perf_counter()
            work()
            print(f"{name}: finished in {(time.perf_counter() - start) / 60:.1f} min", flush=True)
        if name == last:
            return


def _stages(
    recipe: Recipe, data: Path, run: Path, out: Path, compile: bool
) -> list[tuple[str, Callable[[], bool], Callable[[], object]]]:
    tokens, lam_path = run / "tokens", run / "latent_action" if recipe.latent_action is not None else None

    return [
        (
            "record",
            data.exists,
            lambda: record.record(
                record.RecordConfig(
                    out=data,
                    env=recipe.env,
                    steps=recipe.steps,
                    env_kwargs=recipe.env_kwargs,
                    module=recipe.module,
                    image_size=recipe.tokenizer.image_size,
                    **recipe.record,
                )
            ),
        ),
        (
            "tokenizer",
            lambda: is_done(run / "tokenizer"),
            lambda: train_tokenizer.train(
                train_tokenizer.TrainTokenizerConfig(data, run / "tokenizer", recipe.tokenizer, recipe.tokenizer_loop)
            ),
        ),
        (
            "latent_action",
            lambda: lam_path is None or is_done(lam_path),
            lambda: train_latent_action.train(
                train_latent_action.TrainLatentActionConfig(
                    data,
                    run / "latent_action",
                    recipe.latent_action or LatentActionConfig(),
                    recipe.latent_action_loop,
                    recipe.label_fraction,
                    **recipe.latent_action_training,
                )
            ),
        ),
        (
            "tokenize",
            tokens.exists,
            lambda: tokenize(TokenizeConfig(data, tokens, run / "tokenizer", lam_path, recipe.recorded_actions)),
        ),
        (
            "dynamics",
            lambda: is_done(run / "dynamics"),
            lambda: train_dynamics.train(
                train_dynamics.TrainDynamicsConfig(
                    tokens=tokens,
                    out=run / "dynamics",
                    model=recipe.dynamics_config(),
                    loop=recipe.dynamics_loop,
                    video_tokenizer_path=run / "tokenizer",
                    data=data,
                    compile=compile,
                    **recipe.dynamics_training,
                )
            ),
        ),
        (
            "outcome",
            lambda: is_done(run / "outcome"),
            lambda: train_outcome.train(
                train_outcome.TrainOutcomeConfig(
                    tokens,
                    run / "outcome",
                    recipe.outcome_config(),
                    recipe.outcome_loop,
                    dynamics=run / "dynamics",
                    sampling=recipe.sampling,
                )
            ),
        ),
        (
            "export",
            lambda: (out / "config.json").exists(),
            lambda: export.export(export.ExportConfig(data, run, out, sampling=recipe.sampling)),
        ),
    ]


def main(config: TrainConfig) -> None:
    """Command line."""
    if config.recipe not in RECIPES:
        raise ValueError(f"recipe: expected one of {sorted(RECIPES)}, got {config.recipe!r}")
    data = config.data or Path("data") / config.recipe
    folder = config.run or Path("runs") / config.recipe
    out = config.out or Path("worlds") / config.recipe
    make_world(RECIPES[config.recipe], data, folder, out, config.only, config.compile)


if __name__ == "__main__":
    raise SystemExit(run(main, TrainConfig, description=__doc__))
