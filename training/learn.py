"""Make a world of any game by one command: ``python -m training.learn ALE/Freeway-v5 --minutes 60``.

Looks at the game, says what it found, what it chose and how long each stage will take; records, trains, measures and
shows the world. Stop it at any time: the same command goes on. ``--dry-run`` ends after the plan.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from tyro.conf import OmitArgPrefixes

from genie_env.command import run
from genie_env.data.episodes import EpisodeStore
from genie_env.files.atomic import refuse_existing, require_writable
from genie_env.games.modules import import_games
from genie_env.measurement import Measurement
from genie_env.tables import text_table
from training.engine.stage import Stage, alone_in
from training.evaluate import EvaluateConfig, evaluate
from training.planning.budget import divide, minutes_for
from training.planning.choices import NONE, Choices
from training.planning.fitting import FITTED, Fitting, for_any_machine, measuring
from training.planning.game_plan import plan_game
from training.planning.gameplay import import_gameplay, plan_gameplay
from training.planning.plan import Plan, refine, use_recording
from training.planning.probe import probe_game
from training.planning.progress import Progress, read_progress, timed, write_progress
from training.planning.summary import summary
from training.recipes import RECIPES, Recipe, find_recipe, write_recipe
from training.sources.choice import is_foreign
from training.sources.reader import Wanted
from training.train import PIPELINE, is_finished, stage_configs

BYTES_PER_FRAME = 3 * 1.1
"""Bytes of a recorded pixel, with what belongs to it."""


@dataclass(frozen=True)
class LearnConfig:
    """Make a world of a game or a recording."""

    source: tyro.conf.Positional[str]
    """Gymnasium id of a game, folder of a recording, a recipe (its name or TOML file), or gameplay that somebody else
    recorded: a film, a folder of films, .npz, minari:ID, the folder of a data set (docs/films.md)."""
    minutes: float | None = None
    """Minutes for everything: recording, training and measuring; the default is 60. A recipe takes as long as it asks
    for, unless this is given: then its trainings become as much shorter as they must."""
    out: Path | None = None
    """World to make; the default is worlds/NAME."""
    run: Path | None = None
    """Folder of the stages; the default is runs/NAME."""
    data: Path | None = None
    """Recording to make; the default is data/NAME."""
    module: str = ""
    """Python module to import first, where importing it registers the game."""
    env_kwargs: str = "{}"
    """Arguments of ``gym.make`` as JSON."""
    image_size: int | None = None
    """Edge of a frame in pixels, a multiple of 8; None takes 64, of a game that draws cells a patch for each."""
    choices: OmitArgPrefixes[Choices] = NONE
    """What you decide instead of this command."""
    save_recipe: Path | None = None
    """TOML file to write with everything that was decided, at the end; as SOURCE it makes the same world again."""
    dry_run: bool = False
    """Print the plan and stop."""
    seed: int = 0
    """Seed of the first look at the game and of the measuring."""

    @property
    def budget(self) -> float:
        """Minutes for everything."""
        return 60.0 if self.minutes is None else self.minutes


def learn(config: LearnConfig) -> Path:
    """Make the world, or go on where an earlier call stopped; returns its folder.

    Raises:
        ValueError: if the source cannot be learned from, or the run belongs to another one.
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP, after what was done is kept.
    """
    import_games(config.module)
    name = name_of(config.source)
    folder, out = config.run or Path("runs") / name, config.out or Path("worlds") / name
    data = Path(config.source) if is_recording(config.source) else config.data or Path("data") / name
    if config.dry_run:
        if read_run(config, folder) is not None:
            raise ValueError(f"{folder} was begun before; --dry-run plans new runs only")
        _require_new(out, None)
        _first_plan(config, data)
        return out
    with alone_in(folder):
        progress = read_run(config, folder)
        _require_new(out, progress)
        for made in filter(None, (out, config.save_recipe)):
            require_writable(made)
        if progress is None:
            plan, decided = _first_plan(config, data)
            _require_space(plan, data)
            flags = _lasting_flags(config)
            progress = Progress(config.source, config.budget, plan.recipe, plan.minutes, {}, decided, flags)
            write_progress(folder, progress)
        return _Learning(config, folder, data, out).go_on(progress)


def name_of(source: str) -> str:
    """A world's name: ``freeway`` for ``ALE/Freeway-v5``, ``run`` for the film ``run.mp4``."""
    path = Path(source)
    shown = path.stem if path.is_file() else path.name.split("-v")[0]
    return "".join(c if c.isalnum() else "_" for c in shown).lower()


def read_run(config: LearnConfig, folder: Path) -> Progress | None:
    """Where the run in ``folder`` stands, None where there is none; see :func:`read_progress`."""
    return read_progress(folder, config.source, config.budget, _lasting_flags(config), config.module)


def _lasting_flags(config: LearnConfig) -> dict[str, Any]:
    """Flags that decide what is made, JSON-plain."""
    names = ("env_kwargs", "image_size", "seed")
    flags = {**{name: getattr(config, name) for name in names}, **dataclasses.asdict(config.choices)}
    return json.loads(json.dumps(flags))


def _require_new(out: Path, progress: Progress | None) -> None:
    """Refuse a world that is there, unless this run made it and has not measured it yet."""
    if progress is None or progress.finished or "export" not in progress.spent:
        refuse_existing(out)


def is_recording(source: str) -> bool:
    """Whether a source is the folder of a recording."""
    return (Path(source) / "manifest.json").exists()


def is_recipe(source: str) -> bool:
    """Whether a source is a recipe: a known name, or a TOML file."""
    return source in RECIPES or source.endswith(".toml")


def is_gameplay(source: str) -> bool:
    """Whether a source is gameplay that somebody else recorded: a film, arrays, a data set."""
    return is_foreign(source) and not is_recipe(source)


def _wanted(config: LearnConfig) -> Wanted:
    """What a recording made of other people's gameplay shall be like."""
    return Wanted(image_size=config.image_size or Wanted.image_size, crop=config.choices.crop)


def _first_plan(config: LearnConfig, data: Path) -> tuple[Plan, tuple[str, ...]]:
    """What is planned before any work, printed, and what is not to be decided any more."""
    plan, decided = _plan(config, data)
    print(_described(plan, config.budget), flush=True)
    return plan, decided


def _plan(config: LearnConfig, data: Path) -> tuple[Plan, tuple[str, ...]]:
    if is_recording(config.source):
        return use_recording(EpisodeStore(data), config.budget), ()
    if is_gameplay(config.source):
        if config.save_recipe is not None:
            raise ValueError(f"save_recipe: expected a game, which a recipe records; {config.source} is none")
        return plan_gameplay(config.source, _wanted(config), config.budget), ()
    if is_recipe(config.source):
        recipe = dataclasses.replace(find_recipe(config.source), module=config.module)
        stages = ", ".join(stage for stage in FITTED if getattr(recipe, stage) is not None)
        free = config.minutes is None
        length = "take as long as it asks for" if free else "are as much shorter as the minutes ask for"
        chosen = f"everything as the recipe says; {stages} {length}"
        minutes = divide(config.budget, False, recipe.latent_action is not None)
        decided = ("recording", *(("tokenize", *FITTED) if free else ()))
        return Plan(recipe, minutes, (f"a recipe of {recipe.env}",), (chosen,), True), decided
    # A budget that is too small is refused before the game is played.
    divide(config.budget, learned_tokenizer=False, latent_action=False)
    print(f"looking at {config.source} for some seconds …", flush=True)
    probe = probe_game(config.source, json.loads(config.env_kwargs), config.seed)
    return plan_game(probe, config.budget, config.image_size, config.module, config.choices), ()


def _require_space(plan: Plan, data: Path) -> None:
    """Refuse a recording that the disk cannot hold."""
    needed = plan.recipe.steps * plan.recipe.tokenizer.image_size**2 * BYTES_PER_FRAME if plan.records else 0
    data.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(data.parent).free
    if needed > free:
        raise ValueError(
            f"{data}: the recording needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; lower --minutes or "
            "choose another --data"
        )


class _Learning:
    """The stages of one run, each with its share of the minutes that are left."""

    def __init__(self, config: LearnConfig, folder: Path, data: Path, out: Path) -> None:
        self.config, self.folder, self.data, self.out = config, folder, data, out
        given = is_recipe(config.source)
        self._fitting = Fitting(self._configured, config.budget, given, config.choices.updates, config.seed)

    def go_on(self, progress: Progress) -> Path:
        """Run what is not done yet."""
        for name in (stage.name for stage in PIPELINE):
            if name == "tokenizer":
                progress = self._look_at_recording(progress)
            if name not in self._settings(progress.recipe):
                continue
            is_codebook = name == "tokenizer" and progress.recipe.tokenizer.kind == "codebook"
            if name in (*FITTED, "tokenize") and not is_codebook:
                progress = self._fit(progress, name)
            progress = self._stage(progress, name)
        if self.config.save_recipe is not None:
            write_recipe(self.config.save_recipe, for_any_machine(progress.recipe))
            print(f"every setting is in {self.config.save_recipe}", flush=True)
        with timed(self.folder, progress, "evaluate") as after:
            found = self._evaluate(progress)
            after[0] = after[0].but(finished=True)
        print(summary(found, self.out, after[0], self.folder), flush=True)
        return self.out

    def _look_at_recording(self, progress: Progress) -> Progress:
        """Choose what can be chosen now that the recording is there; decided once."""
        if "recording" in progress.decided:
            return progress
        plan = refine(progress.recipe, EpisodeStore(self.data), self.config.budget, self.config.choices)
        print(_described(plan, self.config.budget), flush=True)
        return progress.but(recipe=plan.recipe, planned=plan.minutes, decided=(*progress.decided, "recording"))

    def _stage(self, progress: Progress, name: str) -> Progress:
        """Run one stage, unless it is finished; the stages before it are."""
        stage, config = self._settings(progress.recipe)[name]
        if name == "record" and is_gameplay(self.config.source):
            return self._import(progress)
        if is_finished(stage, config.out, config):
            return progress
        with timed(self.folder, progress, name) as after:
            stage.train(config)
        print(f"{name}: finished after {after[0].spent[name]:.1f} min", flush=True)
        return after[0]

    def _import(self, progress: Progress) -> Progress:
        """Turn gameplay that somebody else recorded into a recording, if that was not done before."""
        if is_recording(str(self.data)):
            return progress
        with timed(self.folder, progress, "record") as after:
            import_gameplay(progress.source, _wanted(self.config), self.data)
        return after[0]

    def _configured(self, recipe: Recipe) -> dict[str, Any]:
        return {name: config for name, (_, config) in self._settings(recipe).items()}

    def _settings(self, recipe: Recipe) -> dict[str, tuple[Stage, Any]]:
        return {one.name: (one, config) for one, config in stage_configs(recipe, self.data, self.folder, self.out)}

    def _fit(self, progress: Progress, stage: str) -> Progress:
        """Make a stage fit into its minutes; decided once."""
        if stage in progress.decided:
            return progress
        with timed(self.folder, progress, stage) as after:
            bounded = not self._fitting.given
            left = minutes_for(stage, self.config.budget, progress.spent, progress.planned, bounded=bounded)
            if stage == "tokenize":
                recipe, said = self._fitting.fit_tokens(progress.recipe, EpisodeStore(self.data), left)
            else:
                recipe, said = self._fitting.fit(progress.recipe, stage, left)
            after[0] = progress.but(recipe=recipe, decided=(*progress.decided, stage))
        print(*said, sep="\n", end="\n" if said else "", flush=True)
        return after[0]

    def _evaluate(self, progress: Progress) -> list[Measurement]:
        left = minutes_for("evaluate", self.config.budget, progress.spent, progress.planned)
        return evaluate(
            EvaluateConfig(
                world=str(self.out),
                data=self.data,
                out=self.out.parent / f"{self.out.name}_report",
                sweeps=False,
                seed=self.config.seed,
                write_metrics=True,
                module=self.config.module,
                **measuring(EpisodeStore(self.data).split("test"), left, progress.recipe.tokenizer.num_tokens),
            )
        )


def _described(plan: Plan, minutes: float) -> str:
    """The plan as text."""
    rows = [[stage, f"{planned:.1f}"] for stage, planned in plan.minutes.items() if planned]
    return "\n".join(
        [
            "found:",
            *(f"  {line}" for line in plan.findings),
            "chosen:",
            *(f"  {line}" for line in plan.choices),
            text_table(["stage", f"minutes of {minutes:g}"], rows),
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Command line, of this module or of ``genie-env learn``; returns the exit status."""
    prog = None if argv is None else "genie-env learn"
    return run(learn, LearnConfig, prog=prog, description=__doc__, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
