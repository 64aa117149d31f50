"""What does each way of training add? ``python -m training.ablation --recipe pong`` trains the dynamics in five ways.

All begin from one parent, by default one that only ever saw real frames, and go on for equal compute: the time of
``budget`` updates of plain teacher forcing, by the mean cost of an update of each kind, measured first. Every way is
trained under several seeds and measured on the same held-out clips, and so is the parent. Run the same command again to
go on after a stop. Other ways: ``training.dynamics.variants``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from genie_env.bundle import load_world
from genie_env.command import run
from genie_env.data.episodes import EpisodeStore
from genie_env.files.atomic import claim_folder, read_json, write_json, write_text
from genie_env.games.registry import Game, game_for
from genie_env.measurement import Measurement
from training.data.token_store import TokenStore
from training.dynamics.task import STAGE, DynamicsTask, TrainDynamicsConfig, train
from training.dynamics.variants import FORCED, FROM_FORCED, VARIANTS
from training.engine.clocked_task import seconds_per_update
from training.engine.stage import load_network
from training.evaluation.dreams import DREAM
from training.evaluation.held_out import read_held_out
from training.evaluation.plots import plot_horizons
from training.evaluation.report import comparison_table
from training.evaluation.variant_figures import SHOWN, VariantFigures
from training.recipes import RECIPES

TIMED_UPDATES = 24
MAX_FRAMES = 40_000
REPORT = "ablation.md"
PARENT = "the parent"
SETTINGS = "run.json"
SETTLED = ("recipe", "run", "parent", "parent_updates", "budget", "rate", "batch_size")
"""Settings of what is trained; more seeds and variants, or other clips, may be asked for later."""


@dataclass(frozen=True)
class AblationConfig:
    """Train the dynamics in several ways for equal compute, and compare their dreams."""

    recipe: str = "pong"
    """Name of the recipe whose dynamics is trained."""
    world: str = "pong"
    """Bundled world or folder that lends tokenizer, latent actions and outcome head."""
    data: Path | None = None
    """Recording; the default is data/<recipe>."""
    run: Path | None = None
    """Folder of the recipe's stages, for its tokens and tokenizer; the default is runs/<recipe>."""
    out: Path = Path("runs/ablation")
    """Folder for everything that is trained and found."""
    parent: Path | None = None
    """Finished dynamics stage that all variants begin from; the default is one trained here, by teacher forcing."""
    parent_updates: int = 3000
    """Updates of teacher forcing that such a parent gets."""
    budget: int = 1000
    """Further compute of each variant, in updates of teacher forcing."""
    seeds: tuple[int, ...] = (1, 2)
    """Seeds of what follows the parent."""
    rate: float = 1.0
    """Learning rates of what follows the parent, as a part of the recipe's: these would first undo much of what a
    finished parent learned."""
    batch_size: int = 0
    """Clips of a batch of what follows the parent; 0: as many as in the recipe."""
    variants: tuple[str, ...] = FROM_FORCED
    """Variants to train, of those in ``training.dynamics.variants``."""
    baseline: str = FORCED
    """The one of them that the others are compared with, in pairs."""
    num_clips: int = 192
    """Held-out clips that are dreamed from."""
    horizons: tuple[int, ...] = (1, 5, 10, 20, 50)
    """Steps after which a dream is compared with what really came."""
    play_rows: int = 8
    """Rows of free play."""
    play_steps: int = 500
    """Steps of free play."""
    device: str = "auto"
    """Torch device, or ``auto``."""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe: expected one of {sorted(RECIPES)}, got {self.recipe!r}")
        unknown = sorted({*self.variants} - {*VARIANTS})
        if unknown or self.baseline not in self.variants:
            raise ValueError(
                f"variants: expected the baseline, {self.baseline!r}, and some of {sorted(VARIANTS)}, got "
                f"{list(self.variants)}"
            )
        if not 0 < self.rate < math.inf:
            raise ValueError(f"rate: expected a finite number > 0, got {self.rate!r}")
        if self.batch_size < 0:
            raise ValueError(f"batch_size: expected an integer >= 0, got {self.batch_size!r}")
        for name in ("parent_updates", "budget", "num_clips", "play_rows", "play_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")


def ablate(config: AblationConfig, game: Game | None = None) -> list[Measurement]:
    """Train what is not trained yet, measure all, and write ``ablation.json``, ``ablation.md`` and ``ablation.png``.

    Raises:
        ValueError: if recording, tokens or world cannot be read or do not fit each other, or the folder holds an
            ablation of other length.
        Interrupted: on Ctrl-C or SIGTERM during training, after a checkpoint.
    """
    base = _base(config)
    store = EpisodeStore(config.data or Path("data") / config.recipe)
    claim_folder(config.out / SETTINGS, {name: str(getattr(config, name)) for name in SETTLED})
    if config.parent is None and not STAGE.is_done(config.out / "parent"):
        _warm_up(base, config)
    updates = _equal_updates(base, config)
    world = load_world(config.world, config.device)
    # The world that lends its other networks may have learned from the other kind of actions.
    tokens = TokenStore(_tokens(config))
    world = world.replace(config=replace(world.config, recorded_actions=tokens.recorded_actions))
    play = read_held_out(world, store, game or game_for(store.manifest.source.env_id), MAX_FRAMES, tokens)
    clips = play.clips(config.num_clips, world.config.dynamics.window, max(config.horizons), 0)
    figures = VariantFigures(world, play, clips, config.horizons, (config.play_rows, config.play_steps))
    assert base.start_from is not None
    figures.add(PARENT, load_network(base.start_from, "dynamics")[0], config.out / "parent_world")
    found: list[Measurement] = []
    for seed in config.seeds:  # all variants under one seed first: a table that is complete early
        for name in config.variants:
            folder = config.out / f"{_slug(name)}-{seed}"
            train_variant(base, name, folder, updates[name], seed)
            figures.add(name, load_network(folder, "dynamics")[0], folder / "world")
        found = figures.measure({PARENT: 0, **updates}, config.baseline)
        _write(config, found, len(clips.tokens_CTN), seed)
    return found


def train_variant(base: TrainDynamicsConfig, name: str, folder: Path, n_updates: int, seed: int) -> None:
    """Train one variant from the parent, unless that is done."""
    if STAGE.is_done(folder):
        return
    loop = replace(base.loop, n_updates=n_updates, seed=seed)
    train(replace(base, out=folder, loop=loop, **VARIANTS[name]))


def _beginning(config: AblationConfig) -> str:
    return f"{config.parent_updates:,} updates of teacher forcing" if config.parent is None else f"`{config.parent}`"


def _tokens(config: AblationConfig) -> Path:
    return (config.run or Path("runs") / config.recipe) / "tokens"


def _base(config: AblationConfig) -> TrainDynamicsConfig:
    recipe, run = RECIPES[config.recipe], config.run or Path("runs") / config.recipe
    loop = recipe.dynamics_loop
    rates = {name: config.rate * getattr(loop, name) for name in ("learning_rate", "muon_rate")}
    return TrainDynamicsConfig(
        tokens=_tokens(config),
        out=config.out,
        model=recipe.dynamics_config(),
        loop=replace(loop, eval_every=10**9, batch_size=config.batch_size or loop.batch_size, **rates),
        video_tokenizer_path=run / "tokenizer",
        start_from=config.parent or config.out / "parent",
        device=config.device,
        **recipe.dynamics_training,
    )


def _warm_up(base: TrainDynamicsConfig, config: AblationConfig) -> None:
    """The parent: the learning rate stays at its peak, since training goes on."""
    loop = replace(RECIPES[config.recipe].dynamics_loop, n_updates=config.parent_updates, decay_share=0.001)
    loop = replace(loop, eval_every=10**9)
    train(replace(base, out=config.out / "parent", loop=loop, start_from=None, **VARIANTS[FORCED]))


def _equal_updates(base: TrainDynamicsConfig, config: AblationConfig) -> dict[str, int]:
    """Updates of each variant that cost as much processor time as the budget; measured once."""
    path = config.out / "cost.json"
    cost: dict[str, float] = read_json(path) if path.exists() else {}
    for name in (FORCED, *config.variants):
        if name not in cost:
            # A training in miniature, whose dreams grow longer as in a real one.
            loop = replace(base.loop, n_updates=TIMED_UPDATES)
            cost[name] = seconds_per_update(DynamicsTask(replace(base, loop=loop, **VARIANTS[name])), loop)
            write_json(path, cost)
    return {name: max(1, round(config.budget * cost[FORCED] / cost[name])) for name in config.variants}


def _write(config: AblationConfig, found: list[Measurement], num_clips: int, last_seed: int) -> None:
    write_json(config.out / "ablation.json", [one.row() for one in found])
    num_seeds = config.seeds.index(last_seed) + 1
    about = (
        f"All begin from {_beginning(config)} and go on for the processor time of {config.budget:,} updates of "
        f"teacher forcing, {num_seeds} seeds each. Dreams of {num_clips} held-out clips with the "
        "actions really taken; nothing counts frames after a new serve. Brackets: 95 % intervals over clips; of free "
        f"play the lowest and highest seed. Differences are paired; their baseline is {config.baseline}."
    )
    write_text(config.out / REPORT, f"## ablation\n\n{about}\n\n{comparison_table(found)}")
    curves = [one for one in found if (one.metric, one.subset) in SHOWN and one.experiment == DREAM]
    plot_horizons(config.out / "ablation.png", curves)


def _slug(name: str) -> str:
    return name.removeprefix("+ ").replace(",", "").replace(" ", "_").replace("-", "_")


def main(config: AblationConfig) -> None:
    """Command line."""
    ablate(config)
    print((config.out / REPORT).read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(run(main, AblationConfig, description=__doc__))
