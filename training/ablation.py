"""What does each way of training add? ``python -m training.ablation --recipe pong`` trains the dynamics in five ways.

All begin from one parent, by default one that only ever saw real frames, and go on for equal compute: the time of
``budget`` updates of plain teacher forcing, by the mean cost of an update of each kind, measured first. Every way is
trained under several seeds and measured on the same held-out clips. Run the same command again to go on after a stop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genie_env.bundle import load_world, save_world
from genie_env.command import run
from genie_env.data.episodes import EpisodeStore
from genie_env.files.atomic import claim_folder, read_json, write_json, write_text
from genie_env.games.registry import Game, game_for
from genie_env.measurement import Measurement, Metric, Subset, select, with_fields
from genie_env.world import World
from training.data.token_store import TokenStore
from training.dynamics.scheduled_sampling import ScheduledSamplingConfig
from training.dynamics.task import STAGE, DynamicsTask, TrainDynamicsConfig, train
from training.engine.clocked_task import seconds_per_update
from training.engine.stage import load_network
from training.evaluation.dreams import DREAM, HorizonScores
from training.evaluation.free_play import FREE_PLAY, measure_play, play_dream
from training.evaluation.held_out import predict, read_held_out
from training.evaluation.plots import plot_horizons
from training.evaluation.report import comparison_table
from training.recipes import RECIPES

FORCED = "teacher forcing"
NO_DREAMS = ScheduledSamplingConfig(method="none")
DREAMS = ScheduledSamplingConfig(begin=0.0, curriculum=False)
VARIANTS: dict[str, dict[str, Any]] = {
    FORCED: {"corruption": 0.0, "scheduled_sampling": NO_DREAMS},
    "+ corruption": {"scheduled_sampling": NO_DREAMS},
    "+ two-pass": {"scheduled_sampling": replace(DREAMS, method="two_pass")},
    "+ self-rollout": {"scheduled_sampling": DREAMS},
    "+ curriculum": {"scheduled_sampling": replace(DREAMS, curriculum=True)},
}
"""Fields of ``TrainDynamicsConfig``; the last three are alternatives, all with corruption."""
TIMED_UPDATES = 24
MAX_FRAMES = 40_000
REPORT = "ablation.md"
SHOWN = {
    (Metric.CHANGED_TOKEN_ACCURACY, Subset.BEFORE_SERVE),
    (Metric.POSITION_ERROR, ""),
    (Metric.NEAR, ""),
}
"""Metrics and subsets of dreams that variants are compared by."""
SETTINGS = "run.json"
SETTLED = ("recipe", "run", "parent", "parent_updates", "budget")
"""Settings of what is trained; more seeds and variants, or other clips, may be asked for later."""


@dataclass(frozen=True)
class AblationConfig:
    """Train the dynamics in five ways for equal compute, and compare their dreams."""

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
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Variants to train; plain teacher forcing must be among them."""
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
        if unknown or FORCED not in self.variants:
            raise ValueError(f"variants: expected {FORCED!r} and some of {sorted(VARIANTS)}, got {self.variants}")
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
    dreams: dict[str, list[HorizonScores]] = {name: [] for name in config.variants}
    free: dict[str, list[list[Measurement]]] = {name: [] for name in config.variants}
    found: list[Measurement] = []
    for seed in config.seeds:  # all variants under one seed first: a table that is complete early
        for name in config.variants:
            folder = config.out / f"{_slug(name)}-{seed}"
            train_variant(base, name, folder, updates[name], seed)
            _put_dynamics(world, folder)
            dreamed_CHN = predict(world, clips, world.config.sampling)
            dreams[name].append(HorizonScores.of(play, clips, config.horizons, dreamed_CHN))
            free[name].append(_play_freely(config, folder, play.game))
        found = _measure(dreams, free, updates)
        _write(config, found, len(clips.tokens_CTN), seed)
    return found


def train_variant(base: TrainDynamicsConfig, name: str, folder: Path, n_updates: int, seed: int) -> None:
    """Train one variant from the parent, unless that is done."""
    if STAGE.is_done(folder):
        return
    loop = replace(base.loop, n_updates=n_updates, seed=seed)
    train(replace(base, out=folder, loop=loop, **VARIANTS[name]))


def _put_dynamics(world: World, folder: Path) -> None:
    """Give the world the dynamics in ``folder``, and leave a bundle there that can be played."""
    world.dynamics.load_state_dict(load_network(folder, "dynamics")[0].state_dict())
    save_world(world, folder / "world", replace=True)


def _play_freely(config: AblationConfig, folder: Path, game: Game) -> list[Measurement]:
    free = play_dream(str(folder / "world"), config.play_rows, config.play_steps, 0, None, device=config.device)
    return with_fields(select(measure_play(free, game, {}), sprite=game.tracked), experiment=FREE_PLAY)


def _measure(
    dreams: dict[str, list[HorizonScores]], free: dict[str, list[list[Measurement]]], updates: dict[str, int]
) -> list[Measurement]:
    """Values over all seeds; intervals of dreams draw clips, those of free play are the lowest and highest seed."""
    forced, found = HorizonScores.repeated(dreams[FORCED]), []
    for name, parts in dreams.items():
        scores = HorizonScores.repeated(parts)
        measured = [m for m in scores.measure() if (m.metric, m.subset) in SHOWN and m.sprite in ("", scores.tracked)]
        for seeds in zip(*free[name], strict=True):
            values = [one.value for one in seeds]
            spread = {"value": float(np.mean(values)), "low": min(values), "high": max(values), "count": len(values)}
            measured += with_fields(seeds[:1], **spread)
        if name != FORCED:
            measured += scores.measure_against(forced)
        found += with_fields([Measurement.of(Metric.UPDATES, updates[name]), *measured], source=name)
    return found


def _beginning(config: AblationConfig) -> str:
    return f"{config.parent_updates:,} updates of teacher forcing" if config.parent is None else f"`{config.parent}`"


def _tokens(config: AblationConfig) -> Path:
    return (config.run or Path("runs") / config.recipe) / "tokens"


def _base(config: AblationConfig) -> TrainDynamicsConfig:
    recipe, run = RECIPES[config.recipe], config.run or Path("runs") / config.recipe
    return TrainDynamicsConfig(
        tokens=_tokens(config),
        out=config.out,
        model=recipe.dynamics_config(),
        loop=replace(recipe.dynamics_loop, eval_every=10**9),
        video_tokenizer_path=run / "tokenizer",
        start_from=config.parent or config.out / "parent",
        device=config.device,
        **recipe.dynamics_training,
    )


def _warm_up(base: TrainDynamicsConfig, config: AblationConfig) -> None:
    """The parent: the learning rate stays at its peak, since training goes on."""
    loop = replace(base.loop, n_updates=config.parent_updates, decay_share=0.001)
    train(replace(base, out=config.out / "parent", loop=loop, start_from=None, **VARIANTS[FORCED]))


def _equal_updates(base: TrainDynamicsConfig, config: AblationConfig) -> dict[str, int]:
    """Updates of each variant that cost as much processor time as the budget; measured once."""
    path = config.out / "cost.json"
    cost: dict[str, float] = read_json(path) if path.exists() else {}
    for name in config.variants:
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
        "play the lowest and highest seed. Differences are paired; their baseline is teacher forcing."
    )
    write_text(config.out / REPORT, f"## ablation\n\n{about}\n\n{comparison_table(found)}")
    curves = [one for one in found if (one.metric, one.subset) in SHOWN and one.experiment == DREAM]
    plot_horizons(config.out / "ablation.png", curves)


def _slug(name: str) -> str:
    return name.removeprefix("+ ").replace(" ", "_").replace("-", "_")


def main(config: AblationConfig) -> None:
    """Command line."""
    ablate(config)
    print((config.out / REPORT).read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(run(main, AblationConfig, description=__doc__))
