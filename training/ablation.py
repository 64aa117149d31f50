"""What does each way of training add? ``python -m training.ablation --recipe pong`` trains the dynamics in five ways.

All begin from one parent, by default one that only ever saw real frames, and go on for equal compute: the time of
``budget`` updates of plain teacher forcing, by the mean cost of an update of each kind, measured first. Every way is
trained under several seeds and judged on the same held-out clips. Run the same command again to go on after a stop.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genie_env.bundle import load_world, save_world
from genie_env.command import run
from genie_env.config import DynamicsConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.files.atomic import claim_folder, write_json
from genie_env.games.registry import Game, game_for
from genie_env.games.sprites import find_sprites
from genie_env.models.dynamics import Dynamics
from genie_env.statistics import Interval, bootstrap, difference, median, ratio
from genie_env.world import World
from training.bench import Clocked
from training.data.dataset import TokenDataset
from training.dynamics.scheduled_sampling import ScheduledSamplingConfig
from training.dynamics.task import DynamicsTask, TrainDynamicsConfig, train
from training.engine.loop import LoopConfig, fit
from training.engine.stages import is_done, load_stage
from training.evaluation.free_play import play_dream, play_figures
from training.evaluation.held_out import Clips, read_episodes, roll, take_clips
from training.evaluation.measures import ACCURACY, FORESEEABLE, NEAR, near, score, sprite_errors
from training.evaluation.plots import plot_horizons
from training.evaluation.report import Figures, Section
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
    """Which to train; plain teacher forcing is always compared with."""
    num_clips: int = 192
    """Held-out clips that dreams are judged on."""
    horizons: tuple[int, ...] = (1, 5, 10, 20, 50)
    """Steps after which a dream is compared with what really came."""
    play_rows: int = 8
    """Rows of free play."""
    play_steps: int = 500
    """Steps of free play."""
    device: str = "auto"
    """``auto`` or a torch device."""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe: expected one of {sorted(RECIPES)}, got {self.recipe!r}")
        unknown = sorted({*self.variants} - {*VARIANTS})
        if unknown or FORCED not in self.variants:
            raise ValueError(f"variants: expected {FORCED!r} and some of {sorted(VARIANTS)}, got {self.variants}")
        for name in ("parent_updates", "budget", "num_clips", "play_rows", "play_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")


@dataclass
class Judged:
    """What one variant's dreams were like: sums per clip, seed and horizon [C, S, K], and free play by seed."""

    hits: np.ndarray
    changed: np.ndarray
    errors: np.ndarray
    """Position error of the ball in pixels; NaN where a serve or a point came between, or no ball was there."""
    play: list[Figures] = field(default_factory=list)

    def figures(self, horizons: Sequence[int]) -> Figures:
        """Named figures over all seeds; intervals draw clips, so that a clip's seeds stay together."""
        found: Figures = {}
        for k, h in enumerate(horizons):
            found[f"{ACCURACY}{FORESEEABLE}, h = {h}"] = ratio(self.hits[..., k], self.changed[..., k])
            found[f"ball error, px, h = {h}"] = median(self.errors[..., k])
            found[f"ball within {NEAR:g} px, h = {h}"] = ratio(*near(self.errors[..., k]))
        for name in self.play[0] if self.play else ():
            values = [figures[name].value for figures in self.play]
            found[f"{name}, free play"] = Interval(float(np.mean(values)), min(values), max(values), len(values))
        return found


def ablate(config: AblationConfig, game: Game | None = None) -> Section:
    """Train what is not trained yet, judge all, and write ``ablation.json``, ``ablation.md`` and ``ablation.png``.

    Raises:
        ValueError: if recording, tokens or world cannot be read or do not fit each other, or the folder holds an
            ablation of other length.
        Interrupted: on Ctrl-C or SIGTERM during training, after a checkpoint.
    """
    base = _base(config)
    store = EpisodeStore(config.data or Path("data") / config.recipe)
    claim_folder(config.out / SETTINGS, {name: str(getattr(config, name)) for name in SETTLED})
    if config.parent is None and not is_done(config.out / "parent"):
        _warm_up(base, config)
    updates = _equal_updates(base, config)
    game = game or game_for(store.manifest.source.env_id)
    world = load_world(config.world, config.device)
    # The world that lends its other networks may have learned from the other kind of actions.
    told = TokenDataset(base.tokens, "test").recorded_actions
    world.config = replace(world.config, recorded_actions=told)
    readings = read_episodes(world, store, 40_000)
    length = max(config.horizons)
    clips = take_clips(store, readings, config.num_clips, world.config.dynamics.window, length, 0, game.colours)
    judged: dict[str, Judged] = {}
    for seed in config.seeds:  # all variants under one seed first: a table that is complete early
        for name in config.variants:
            folder = config.out / f"{_slug(name)}-{seed}"
            train_variant(base, name, folder, updates[name], seed)
            one = judge(config, world, folder, clips, game)
            judged[name] = one if name not in judged else _joined(judged[name], one)
        section = _section(config, judged, updates)
        _write(config, section)
    return section


def train_variant(base: TrainDynamicsConfig, name: str, folder: Path, n_updates: int, seed: int) -> None:
    """Train one variant from the parent, unless that is done."""
    if is_done(folder):
        return
    loop = replace(base.loop, n_updates=n_updates, seed=seed)
    train(replace(base, out=folder, loop=loop, **VARIANTS[name]))


@torch.inference_mode()
def judge(config: AblationConfig, world: World, folder: Path, clips: Clips, game: Game) -> Judged:
    """Dreams and free play of the dynamics in ``folder``; a world that can be played is left there, too."""
    world.dynamics.load_state_dict(load_stage(folder, DynamicsConfig, Dynamics)[0].state_dict())
    save_world(world, folder / "world", replace=True)
    at_K = np.array(config.horizons) - 1
    dreamed = roll(world, clips, world.config.sampling)[:, at_K]
    scores, same_ball_CK = score(world, clips, dreamed, at_K), ~clips.served_CH[:, at_K]
    errors_CK = np.full(same_ball_CK.shape, np.nan)
    if game.colours is not None:
        came = find_sprites(clips.frames_CTHWC[:, clips.context + at_K], game.colours)
        seen = find_sprites(world.decode(dreamed).cpu().numpy(), game.colours)
        ball = came.names.index("ball")
        errors_CK = sprite_errors(clips, came, seen, at_K, game.colours)[..., ball]
        errors_CK = np.where(same_ball_CK, errors_CK, np.nan)
    play = play_dream(str(folder / "world"), config.play_rows, config.play_steps, 0, None, device=config.device)
    kept = ("ball present", "exactly one ball, where any")
    free = {name: figure for name, figure in play_figures(play, game, {}).items() if name in kept}
    hits, changed = (x * same_ball_CK for x in (scores.hits, scores.changed))
    return Judged(hits[:, None], changed[:, None], errors_CK[:, None], [free])


def _joined(one: Judged, other: Judged) -> Judged:
    pairs = ((one.hits, other.hits), (one.changed, other.changed), (one.errors, other.errors))
    return Judged(*(np.concatenate(pair, axis=1) for pair in pairs), one.play + other.play)


def _section(config: AblationConfig, judged: dict[str, Judged], updates: dict[str, int]) -> Section:
    columns: dict[str, Figures] = {}
    for name, one in judged.items():
        columns[name] = {"updates": Interval(updates[name]), **one.figures(config.horizons)}
        if name != FORCED:
            columns[name] |= _against(one, judged[FORCED], config.horizons)
    return Section(
        "ablation",
        f"All begin from {_beginning(config)} and go on for the processor time of {config.budget:,} updates of "
        f"teacher forcing, {judged[FORCED].hits.shape[1]} seeds each. Dreams of {len(judged[FORCED].hits)} "
        "held-out clips with the actions really taken; no figure counts frames after a new serve. Brackets: 95 % "
        "intervals over clips; of free play the lowest and highest seed. Differences are paired, variant minus "
        "teacher forcing.",
        columns,
    )


def _beginning(config: AblationConfig) -> str:
    return f"{config.parent_updates:,} updates of teacher forcing" if config.parent is None else f"`{config.parent}`"


def _against(one: Judged, forced: Judged, horizons: Sequence[int]) -> Figures:
    """Paired differences to teacher forcing on the same clips."""
    found: Figures = {}
    for k, h in enumerate(horizons):
        ours, theirs = one.errors[..., k], forced.errors[..., k]
        found[f"ball error minus that of {FORCED}, px, h = {h}"] = bootstrap(
            lambda rows, ours=ours, theirs=theirs: _nanmedian(ours[rows]) - _nanmedian(theirs[rows]), len(ours)
        )
        (hits, known), (forced_hits, forced_known) = near(ours), near(theirs)
        found[f"ball within {NEAR:g} px minus that of {FORCED}, h = {h}"] = difference(
            hits.sum(1), known.sum(1), forced_hits.sum(1), forced_known.sum(1)
        )
    return found


def _nanmedian(errors: np.ndarray) -> float:
    return float(np.nanmedian(errors)) if np.isfinite(errors).any() else float("nan")


def _base(config: AblationConfig) -> TrainDynamicsConfig:
    recipe, run = RECIPES[config.recipe], config.run or Path("runs") / config.recipe
    return TrainDynamicsConfig(
        tokens=run / "tokens",
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
    """Updates of each variant that cost as much processor time as the budget; measured once and kept."""
    path = config.out / "cost.json"
    cost: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    for name in config.variants:
        if name not in cost:
            cost[name] = _seconds_per_update(replace(base, **VARIANTS[name]))
            write_json(path, cost)
    return {name: max(1, round(config.budget * cost[FORCED] / cost[name])) for name in config.variants}


def _seconds_per_update(config: TrainDynamicsConfig) -> float:
    """Processor seconds of an update: the mean over a training in miniature, whose dreams grow longer as in a real one.

    On a GPU the process waits for results while it computes, so that its own time still tells.
    """
    loop: LoopConfig = replace(config.loop, n_updates=TIMED_UPDATES, warmup=1)
    clocked = Clocked(DynamicsTask(replace(config, loop=loop)), clock=time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        fit(clocked, loop, Path(folder), "cost of an update")
    # The first updates warm up; an update ends where the next begins.
    return float(np.diff(clocked.begins[2:]).mean())


def _write(config: AblationConfig, section: Section) -> None:
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items() if v is not None}
    write_json(config.out / "ablation.json", {"settings": settings, "figures": section.to_json()})
    (config.out / "ablation.md").write_text(section.markdown())
    shown = (ACCURACY, "ball error, px", f"ball within {NEAR:g} px,")
    curves = {
        column: {row: f for row, f in figures.items() if row.startswith(shown)}
        for column, figures in section.columns.items()
    }
    plot_horizons(config.out / "ablation.png", Section(section.title, section.about, curves))


def _slug(name: str) -> str:
    return name.removeprefix("+ ").replace(" ", "_").replace("-", "_")


def main(config: AblationConfig) -> None:
    """Command line."""
    print(ablate(config).markdown())


if __name__ == "__main__":
    raise SystemExit(run(main, AblationConfig, description=__doc__))
