"""Is an ensemble worth its cost? ``python -m training.compare_members --data data/pong`` trains several at equal cost.

From scratch: one network; several smaller ones of as many parameters together; one trunk with several heads. With
``--parent`` also one fine-tune of a finished dynamics, and several with fewer updates each. Every way is given the
processor time of ``budget`` updates of the one network, by the mean cost of its own update, measured first. All are
measured on the same held-out clips. Run the same command again to go on after a stop; more seeds may be asked for
later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genie_env.bundle import load_world
from genie_env.command import run
from genie_env.config import DynamicsConfig, EnsembleConfig, WorldConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.files.atomic import claim_folder, read_json, write_json, write_text
from genie_env.games.registry import Game, game_for
from genie_env.measurement import Measurement
from genie_env.world import World
from training.data.token_store import TokenStore, sized
from training.dynamics.members import HeadsTask, member_settings
from training.dynamics.scheduled_sampling import ScheduledSamplingConfig
from training.dynamics.task import STAGE, DynamicsTask, TrainDynamicsConfig, train
from training.engine.clocked_task import seconds_per_update
from training.engine.loop_config import LoopConfig
from training.engine.stage import load_network
from training.evaluation.held_out import read_held_out
from training.evaluation.member_figures import DreamFigures, measure_ways
from training.evaluation.report import comparison_table
from training.recipes import RECIPES

ONE, NETWORKS_WAY, HEADS = "one network", "several networks", "one trunk, several heads"
PARENT, TUNED, TUNED_MEMBERS = "the parent", "one fine-tune", "several fine-tunes"
FROM_SCRATCH, FROM_PARENT = (ONE, NETWORKS_WAY, HEADS), (TUNED, TUNED_MEMBERS)
TUNED_RATE, TUNED_WARMUP = 0.1, 10
"""A fine-tune's share of the recipe's learning rates, which would first undo what the parent learned."""
COMPARED = {NETWORKS_WAY: ONE, HEADS: ONE, TUNED_MEMBERS: TUNED}
"""Ways of several members, and the single network of the same cost."""
TIMED_UPDATES, TIMED_ROUNDS = 8, 3
MAX_FRAMES = 40_000
REPORT, SETTINGS = "members.md", "run.json"
SETTLED = ("recipe", "tokens", "parent", "budget", "tune_budget", "members", "width", "num_heads", "small_width")
SETTLED += ("small_heads", "num_layers", "clip_length")
"""Settings of what is trained; more seeds, or other clips, may be asked for later."""


@dataclass(frozen=True)
class CompareConfig:
    """Train a dynamics and ensembles at equal cost, and compare their dreams and what they know of themselves."""

    data: Path
    """Recording."""
    tokens: Path
    """Its tokens, made by ``training.tokenize`` with the tokenizer of ``world``."""
    recipe: str = "pong"
    """Name of the recipe whose way of training is used."""
    world: str = "pong"
    """Bundled world or folder that lends tokenizer and outcome head."""
    out: Path = Path("runs/members")
    """Folder for everything that is trained and found."""
    parent: Path | None = None
    """Finished dynamics stage that fine-tunes begin from; None: no fine-tunes."""
    budget: int = 3000
    """Cost of each way from scratch, in updates of the one network."""
    tune_budget: int = 300
    """Cost of each way from the parent, in updates of it."""
    members: int = 3
    """Members of each ensemble."""
    width: int = 160
    """Width of the one network, and of the trunk with heads."""
    num_heads: int = 5
    """Its heads of attention."""
    small_width: int = 84
    """Width of each of several networks: with all their parameters together about those of the one."""
    small_heads: int = 3
    """Their heads of attention."""
    num_layers: int = 4
    """Layers of all of them."""
    clip_length: int = 24
    """Frames of context in a training clip."""
    seeds: tuple[int, ...] = (1, 2)
    """Seeds of the trainings."""
    num_clips: int = 192
    """Held-out clips that are dreamed from."""
    horizons: tuple[int, ...] = (1, 10, 20)
    """Steps after which a dream is compared with what really came."""
    device: str = "auto"
    """Torch device, or ``auto``."""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe: expected one of {sorted(RECIPES)}, got {self.recipe!r}")
        for name in ("budget", "tune_budget", "num_clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")

    @property
    def ways(self) -> tuple[str, ...]:
        """What is trained and compared; the parent itself is measured beside its fine-tunes."""
        return FROM_SCRATCH + (FROM_PARENT if self.parent is not None else ())


def compare(config: CompareConfig, game: Game | None = None) -> list[Measurement]:
    """Train what is missing, measure everything, and write the report into ``config.out``.

    Args:
        config: what is trained and measured.
        game: knowledge about the game, where ``genie_env.games.registry`` has none.

    Raises:
        ValueError: if an input cannot be read, or the folder holds a comparison with other settings.
        Interrupted: on Ctrl-C or SIGTERM during training, after a checkpoint.
    """
    store, tokens = EpisodeStore(config.data), TokenStore(config.tokens)
    world = load_world(config.world, config.device)
    trainings = {way: _training(config, way, tokens) for way in config.ways}
    claim_folder(config.out / SETTINGS, {name: str(getattr(config, name)) for name in SETTLED})
    updates = _equal_updates(config, trainings)
    if tokens.recorded_actions:
        # Without a latent action model: what was played is known, and to infer it from pictures takes minutes.
        world = _rebuilt(world, replace(world.config, recorded_actions=True, latent_action=None))
    play = read_held_out(world, store, game or game_for(store.manifest.source.env_id), MAX_FRAMES, tokens)
    clips = play.clips(config.num_clips, world.config.dynamics.window, max(config.horizons), 0)
    found: dict[str, list[DreamFigures]] = {way: [] for way in config.ways}
    if config.parent is not None:
        found[PARENT] = [DreamFigures.of(_with_dynamics(world, config.parent), play, clips, config.horizons)]
    measurements: list[Measurement] = []
    for seed in config.seeds:  # all ways under one seed first: a table that is complete early
        for way in config.ways:
            folder = config.out / f"{way.replace(',', '').replace(' ', '_')}-{seed}"
            if not STAGE.is_done(folder):
                loop = replace(trainings[way].loop, n_updates=updates[way], seed=seed)
                train(replace(trainings[way], out=folder, loop=loop))
            found[way].append(DreamFigures.of(_with_dynamics(world, folder), play, clips, config.horizons))
        measurements = measure_ways(found, updates, COMPARED)
        _write(config, measurements, len(clips.tokens_CTN), seed)
    return measurements


def _training(config: CompareConfig, way: str, tokens: TokenStore) -> TrainDynamicsConfig:
    """How a way is trained, but for seed, length and folder."""
    recipe = RECIPES[config.recipe]
    size = {"width": config.width, "num_heads": config.num_heads, "num_layers": config.num_layers}
    many = {"kind": "ensemble", "members": config.members}
    parent = None if config.parent is None else load_network(config.parent, "dynamics")[1].to_json()
    chosen: dict[str, dict[str, Any]] = {
        ONE: size,
        NETWORKS_WAY: {**size, "width": config.small_width, "num_heads": config.small_heads, **many},
        HEADS: {**size, **many, "member_kind": "heads"},
    }
    if parent is not None:
        chosen |= {TUNED: parent, TUNED_MEMBERS: {**parent, **many}}
    facts = {name: getattr(tokens.manifest, name) for name in ("vocab_size", "side", "num_actions")}
    loop = replace(recipe.dynamics_loop, eval_every=10**9)
    model = DynamicsConfig.from_json({**recipe.dynamics, **facts, **chosen[way]})
    return TrainDynamicsConfig.from_json(
        {
            **recipe.dynamics_training,
            "tokens": config.tokens,
            "out": config.out,
            "model": sized(model, DynamicsConfig, tokens),
            "loop": _tuned(loop) if way in FROM_PARENT else loop,
            "clip_length": config.clip_length,
            # Dreams in training help well-trained networks only (docs/experiments.md), and cost as much again.
            "scheduled_sampling": ScheduledSamplingConfig(method="none"),
            "start_from": config.parent if way in FROM_PARENT else None,
            "device": config.device,
        }
    )


def _tuned(loop: LoopConfig) -> LoopConfig:
    rates = {name: TUNED_RATE * getattr(loop, name) for name in ("learning_rate", "muon_rate")}
    return replace(loop, warmup=TUNED_WARMUP, **rates)


def _equal_updates(config: CompareConfig, trainings: dict[str, TrainDynamicsConfig]) -> dict[str, int]:
    """Updates of each way that cost as much processor time as the budget; of several networks, those of each."""
    path = config.out / "cost.json"
    cost: dict[str, float] = read_json(path) if path.exists() else {}
    if set(cost) != set(trainings):
        # In turn and more than once, of which the fastest counts: other programs on the machine slow all down alike.
        rounds = [{way: _cost(training) for way, training in trainings.items()} for _ in range(TIMED_ROUNDS)]
        cost = {way: min(one[way] for one in rounds) for way in trainings}
        write_json(path, cost)
    budgets = {way: config.budget * cost[ONE] for way in FROM_SCRATCH}
    budgets |= {way: config.tune_budget * cost[TUNED] for way in config.ways if way in FROM_PARENT}
    return {way: max(1, round(budgets[way] / cost[way])) for way in config.ways}


def _cost(training: TrainDynamicsConfig) -> float:
    """Processor seconds of an update, of all members together."""
    loop = replace(training.loop, n_updates=TIMED_UPDATES)
    training, size = replace(training, loop=loop), training.model
    if not isinstance(size, EnsembleConfig):
        return seconds_per_update(DynamicsTask(training), loop)
    if size.member_kind == "heads":
        return seconds_per_update(HeadsTask(training), loop)
    return size.members * seconds_per_update(DynamicsTask(member_settings(training, size, 0)), loop)


def _with_dynamics(world: World, folder: Path) -> World:
    """A world with the dynamics in ``folder`` and another one's other networks."""
    dynamics, size = load_network(folder, "dynamics")
    other = _rebuilt(world, replace(world.config, dynamics=size))
    other.dynamics.load_state_dict(dynamics.state_dict())
    return other


def _rebuilt(world: World, config: WorldConfig) -> World:
    """A world of another configuration with those networks of ``world`` that are of the same size in it."""
    other = World(config, world.starts)
    for network in config.networks:
        if getattr(config, network) == getattr(world.config, network):
            getattr(other, network).load_state_dict(getattr(world, network).state_dict())
    return other.to(world.device)


def _write(config: CompareConfig, found: list[Measurement], num_clips: int, last_seed: int) -> None:
    write_json(config.out / "members.json", [one.row() for one in found])
    about = (
        f"Each way costs the processor time of {config.budget:,} updates of one network of width {config.width}, "
        f"fine-tunes that of {config.tune_budget:,} updates of the parent; several networks share it. "
        f"{config.seeds.index(last_seed) + 1} seeds. Dreams of {num_clips} held-out clips with the actions really "
        "taken. Departure ahead: the dream leaves the recording (more than three wrong tokens) within five steps; "
        "frames after that, and ahead of which there is a new serve, do not count. Brackets: 95 % intervals over clips."
    )
    write_text(config.out / REPORT, f"## members\n\n{about}\n\n{comparison_table(found)}")


def main(config: CompareConfig) -> None:
    """Command line."""
    compare(config)
    print((config.out / REPORT).read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(run(main, CompareConfig, description=__doc__))
