"""Make a world from nothing: ``python -m training.train --recipe pong``, or ``--recipe my_game.toml``.

Stage by stage: record, tokenizer, latent_action, tokenize, dynamics, outcome, export. A stage that is finished is
skipped, one that was killed goes on from its last checkpoint; run the same command again at any time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genie_env.command import run
from genie_env.config import MemberKind
from genie_env.files.atomic import require_writable
from genie_env.games.registry import game_for, register_game
from training import export, record
from training.engine.stage import Stage, changed_settings
from training.engine.stamp import describe
from training.recipes import Recipe, find_recipe
from training.stages import STAGES
from training.train_dynamics import ensemble_fields

PIPELINE = (record.STAGE, *STAGES, export.STAGE)


@dataclass(frozen=True)
class TrainConfig:
    """Make a world by a recipe."""

    recipe: str = "pong"
    """Name of a recipe, or a TOML file that is one."""
    data: Path | None = None
    """Recording; the default is data/<recipe>."""
    run: Path | None = None
    """Folder for the stages; the default is runs/<recipe>."""
    out: Path | None = None
    """World bundle to make; the default is worlds/<recipe>."""
    only: str = ""
    """Stage to stop after; empty: make the whole world."""
    compile: bool = False
    """Compile the dynamics while it trains: half a minute at the start, a tenth faster on a CPU."""
    members: int = 1
    """Members of an ensemble of dynamics; 1: a single one, or what the recipe says."""
    member_kind: MemberKind = "networks"
    """What they are: networks of the recipe's size, or heads of that size on one trunk."""
    module: str = ""
    """Python module to import first, also by the processes that record; name it last where there are several."""


def make_world(recipe: Recipe, data: Path, run: Path, out: Path, last: str = "", compile: bool = False) -> None:
    """Run every stage of ``recipe`` that is not finished yet, in order, up to ``last``.

    Args:
        recipe: settings of the stages.
        data: recording.
        run: folder of the stages' folders.
        out: world bundle.
        last: name of the last stage to run; empty: all.
        compile: compile the dynamics while it trains.

    Raises:
        ValueError: if ``last`` names no stage, a stage cannot run, or a finished one was made by another recipe.
        OSError: if the bundle cannot be written; nothing is done then.
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP during training, after a checkpoint.
    """
    names = [stage.name for stage in PIPELINE]
    if last and last not in names:
        raise ValueError(f"only: expected one of {names}, got {last!r}")
    # All of them before any work: what is wrong with the recipe shows at once, and so does a place of the world
    # that cannot be written.
    stages = stage_configs(recipe, data, run, out, compile)
    if last in ("", export.STAGE.name):
        require_writable(out)
    for stage, config in stages:
        if is_finished(stage, config.out, config):
            print(f"{stage.name}: done before, skipped", flush=True)
        else:
            start = time.perf_counter()
            stage.train(config)
            print(f"{stage.name}: finished in {(time.perf_counter() - start) / 60:.1f} min", flush=True)
        if stage.name == last:
            return


def stage_configs(recipe: Recipe, data: Path, run: Path, out: Path, compile: bool = False) -> list[tuple[Stage, Any]]:
    """The stages that a recipe runs, in their order, each with its settings; arguments as for :func:`make_world`.

    Raises:
        ValueError: if a setting of the recipe is not as expected.
    """
    if recipe.game is not None:
        register_game(replace(game_for(recipe.env), source=recipe.game))
    given = {"dynamics": {"compile": True}} if compile else {}
    without = {"latent_action"} if recipe.latent_action is None else set()
    without |= set() if recipe.has_outcomes else {"outcome"}
    stages = [stage for stage in PIPELINE if stage.network not in without]
    folders = {stage.name: stage.folder(run) for stage in stages} | {"record": data, "export": out}
    return [(stage, recipe.configure(stage, folders, **given.get(stage.name, {}))) for stage in stages]


def is_finished(stage: Stage, folder: Path, config: Any) -> bool:
    """Whether a stage was finished by these settings; a finished training may be made longer."""
    if not stage.is_done(folder):
        return False
    changed = changed_settings(folder, config)
    refused = [change for change in changed if change.name != "n_updates"]
    if refused:
        raise ValueError(f"{folder}: was made with {describe(refused)}; remove it or use another --run")
    return not changed


def main(config: TrainConfig) -> None:
    """Make the world."""
    recipe = find_recipe(config.recipe)
    if config.module:
        recipe = replace(recipe, module=config.module)
    if config.members != 1:
        recipe = replace(recipe, dynamics={**recipe.dynamics, **ensemble_fields(config)})
    name = Path(config.recipe).stem
    data = config.data or Path("data") / name
    folder = config.run or Path("runs") / name
    make_world(recipe, data, folder, config.out or Path("worlds") / name, config.only, config.compile)


if __name__ == "__main__":
    raise SystemExit(run(main, TrainConfig, description=__doc__))
