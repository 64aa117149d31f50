"""Record gameplay: ``python -m training.record --env ALE/Pong-v5 --steps 100000 --out data/pong``.

Any Gymnasium env with Discrete actions whose observation or ``render()`` is a picture. A recording is a sequence of
shards; every shard is a function of the seed and its index alone, so an interrupted recording goes on where it was,
and the result does not depend on the number of workers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from genie_env.command import Interrupted, on_stop_signal, run
from genie_env.config import SourceConfig
from genie_env.data.description import describe
from genie_env.data.episode_builder import EpisodeBuilder
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter
from genie_env.files.atomic import claim_folder, refuse_existing
from genie_env.files.json_config import JsonConfig
from genie_env.games.modules import import_games
from genie_env.games.recorded_source import json_object, recorded_source
from genie_env.games.registry import Game, game_for
from genie_env.games.source_game import SourceGame, make_source_game
from training.data.agent_players import record_by_agents, split_mixture
from training.data.children import each
from training.data.player_mixture import check_mixture, check_players, default_mixture, make_player
from training.engine.stage import Stage
from training.engine.stamp import stamp_of
from training.join import JoinConfig, join


@dataclass(frozen=True)
class RecordConfig(JsonConfig):
    """Record real gameplay into a folder that the training stages read."""

    out: Path
    """Folder to make; it appears only when the recording is complete."""
    env: str = "ALE/Pong-v5"
    """Gymnasium id of the game."""
    steps: int = 100_000
    """Environment steps (actions) to record in all."""
    seed: int = 0
    """Seed of players and game."""
    env_kwargs: str = "{}"
    """Keyword arguments of ``gym.make`` as JSON. Atari games repeat actions at random only where they ask for it, as
    '{"repeat_action_probability": 0.25}' does."""
    crop: tuple[int, int, int, int] | None = None
    """Rows top, bottom and columns left, right to keep; the default is the game's own, or the whole picture."""
    image_size: int = 64
    """Edge of a frame in pixels."""
    pad: bool = False
    """Keep the proportions of the picture, with black bars, instead of stretching it to a square."""
    frame_skip: int = 1
    """Times each action is repeated (Atari ids already skip frames by themselves)."""
    fps: float | None = None
    """Frames per second when a person plays; the default is the game's own."""
    players: str | None = None
    """Shares by player as JSON, of random, sticky, biased, learner, policy:FOLDER and, in games with a script, follow
    and aim; the default is '{"random": 0.1, "sticky": 0.2, "biased": 0.7}' without a script. A learner plays while it
    learns the real game, from beginner to good; like a policy it needs the extra 'agents'."""
    learner_minutes: float | None = None
    """Minutes after which learners and policies stop playing, though they have played fewer steps."""
    shard_steps: int = 10_000
    """Steps in one file."""
    workers: int = 2
    """Processes that record at once."""
    ray: str | None = None
    """Ray cluster whose machines play, host:port, auto or local; this one writes. None: this one does both."""
    module: str = ""
    """Python module to import first, when importing it registers the env."""


def source_for(config: RecordConfig) -> SourceConfig:
    """The source game as this recording sees it, completed from what the env itself says."""
    return recorded_source(
        config.env,
        config.env_kwargs,
        crop=config.crop,
        image_size=config.image_size,
        pad=config.pad,
        frame_skip=config.frame_skip,
        fps=config.fps,
        module=config.module,
    )


def record(config: RecordConfig, game: Game | None = None) -> EpisodeStore:
    """Record ``config.steps`` steps and return the finished store.

    Args:
        config: what to record.
        game: knowledge about the game, where ``genie_env.games.registry`` has none.

    Raises:
        ValueError: if the env offers no picture, nobody can play it, or the folder exists already.
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP; finished shards stay.
    """
    if config.steps < 1 or config.shard_steps < 2:
        raise ValueError(f"expected steps >= 1 and shard_steps >= 2, got {config.steps} and {config.shard_steps}")
    game = game or game_for(config.env)
    source = source_for(config)
    mixture = json_object("players", config.players) if config.players is not None else default_mixture(game)
    mixture, by_agents = split_mixture(mixture)
    if by_agents:
        return _record_parts(config, game, mixture, by_agents)
    check_mixture(mixture, game)
    settings = {"steps": config.steps, "seed": config.seed, "shard_steps": config.shard_steps, "players": mixture}
    writer = EpisodeWriter(config.out, source, game.truth_names, settings)
    num_shards = -(-config.steps // config.shard_steps)
    with on_stop_signal(partial(_stop, config)), writer.hold():
        missing = [i for i in range(num_shards) if not writer.has_shard(i)]
        jobs = [(game, source, config, mixture, index) for index in missing]
        bar = tqdm(total=num_shards, initial=num_shards - len(missing), desc="record", unit="shard")
        with bar, closing(_run(writer, jobs, min(config.workers, len(jobs)), config.ray)) as recorded:
            for _ in recorded:
                bar.update()
        return writer.finish(num_shards)


def _record_parts(
    config: RecordConfig, game: Game, mixture: dict[str, float], by_agents: dict[str, float]
) -> EpisodeStore:
    """A recording for each kind of player, finished ones kept over a stop, joined at the end."""
    check_players({**mixture, **by_agents})
    refuse_existing(config.out)
    folder = config.out.with_name(f"{config.out.name}.parts")
    claim_folder(folder / "settings.json", stamp_of(config))
    total = sum((*mixture.values(), *by_agents.values()))
    parts = []
    if sum(mixture.values()):
        steps = max(1, round(config.steps * sum(mixture.values()) / total))
        parts.append(folder / "players")
        if not STAGE.is_done(parts[-1]):
            record(replace(config, out=parts[-1], steps=steps, players=json.dumps(mixture)), game)
    for number, (player, share) in enumerate(by_agents.items()):
        if not share:
            continue
        parts.append(folder / f"agents_{number}")
        if not STAGE.is_done(parts[-1]):
            record_by_agents(player, _flags(config, parts[-1], max(1, round(config.steps * share / total))))
    store = join(JoinConfig(tuple(parts), config.out))
    shutil.rmtree(folder)
    return store


def _flags(config: RecordConfig, out: Path, steps: int) -> list[str]:
    """Of ``agents.record_learner``, so that it records the game as this module does."""
    values = {
        "env": config.env,
        "env-kwargs": config.env_kwargs,
        "image-size": config.image_size,
        "frame-skip": config.frame_skip,
        "seed": config.seed,
        "shard-steps": config.shard_steps,
        "module": config.module,
        "steps": steps,
        "fps": config.fps,
        "minutes": config.learner_minutes,
        "out": out,
    }
    flags = [f"--{name}={value}" for name, value in values.items() if value not in (None, "")]
    if config.pad:
        flags.append("--pad")
    return flags if config.crop is None else [*flags, "--crop", *map(str, config.crop)]


STAGE = Stage("record", RecordConfig, record, proof="manifest.json")


def _stop(config: RecordConfig, signum: int) -> NoReturn:
    raise Interrupted(f"stopped; run the same command to go on ({config.out})", signum)


Job = tuple[Game, SourceConfig, RecordConfig, dict[str, float], int]
"""What decides a shard; the last one is its index."""


def _run(writer: EpisodeWriter, jobs: list[Job], workers: int, ray: str | None) -> Generator[None, None, None]:
    if ray is None or not jobs:
        yield from each(partial(_record_shard, writer), jobs, workers)
        return
    from genie_env.cluster.jobs import map_jobs

    for job, episodes in map_jobs(_play_shard, jobs, ray, workers):
        yield writer.write_shard(job[-1], episodes)


def _record_shard(writer: EpisodeWriter, job: Job) -> None:
    writer.write_shard(job[-1], _play_shard(job))


def _play_shard(job: Job) -> list[Episode]:
    game, source, config, mixture, index = job
    rng = np.random.default_rng([config.seed, index])
    env = _make(source, config.module)
    left = min(config.shard_steps, config.steps - index * config.shard_steps)
    episodes = []
    while left > 0:
        episodes.append(_play_episode(env, game, rng, left, mixture))
        left -= len(episodes[-1].actions_T)
    env.close()
    return episodes


def _play_episode(
    env: SourceGame, game: Game, rng: np.random.Generator, max_steps: int, mixture: dict[str, float]
) -> Episode:
    num_actions = int(env.action_space.n)  # type: ignore[attr-defined]
    name, player = make_player(game, num_actions, rng, mixture)
    frame, info = env.reset(seed=int(rng.integers(2**31)))
    truth = _truth(game, env, info)
    episode = EpisodeBuilder(frame, [truth[k] for k in game.truth_names])
    terminated = truncated = False
    while len(episode) < max_steps and not (terminated or truncated):
        action = player.act(truth)
        frame, reward, terminated, truncated, info = env.step(action)
        truth = _truth(game, env, info)
        episode.add(action, reward, frame, [truth[k] for k in game.truth_names])
    return episode.episode(name, terminated)


def _truth(game: Game, env: SourceGame, info: dict[str, Any]) -> dict[str, float]:
    return game.truth(env, info) if game.truth else {}


def _make(source: SourceConfig, module: str) -> SourceGame:
    import_games(module)
    return make_source_game(source)


def main(config: RecordConfig) -> None:
    """Command line."""
    store = record(config)
    print(store.summary())
    print(describe(store).text(), end="")


if __name__ == "__main__":
    raise SystemExit(run(main, RecordConfig, description=__doc__))
