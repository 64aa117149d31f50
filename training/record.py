"""Record gameplay: ``python -m training.record --env ALE/Pong-v5 --steps 100000 --out data/pong``.

Any Gymnasium env with Discrete actions whose observation or ``render()`` is a picture. A recording is a sequence of
shards; every shard is a function of the seed and its index alone, so an interrupted recording goes on where it was,
and the result does not depend on the number of workers.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from genie_env.command import run
from genie_env.config import SourceConfig
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter
from genie_env.games.registry import Game, game_for
from genie_env.games.source_game import SourceGame, make_source_game
from training.data.player_mixture import MIXTURE, check_mixture, make_player


@dataclass(frozen=True)
class RecordConfig:
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
    """Keyword arguments of ``gym.make`` as JSON, for example '{"repeat_action_probability": 0.0}'."""
    crop: tuple[int, int, int, int] | None = None
    """Rows top, bottom and columns left, right to keep; the default is the game's own, or the whole picture."""
    image_size: int = 64
    """Edge of a frame in pixels."""
    frame_skip: int = 1
    """Times each action is repeated (Atari ids already skip frames by themselves)."""
    fps: float | None = None
    """Frames per second when a person plays; the default is the game's own."""
    players: str = json.dumps(MIXTURE)
    """Who plays: shares of the episodes as JSON. Scripted players (follow, aim) play known games only."""
    shard_steps: int = 10_000
    """Steps in one file."""
    workers: int = 2
    """Processes that record at once."""
    module: str = ""
    """Python module to import first, when importing it registers the env."""


def source_for(config: RecordConfig) -> SourceConfig:
    """The source game as this recording sees it, completed from what the env itself says."""
    known = game_for(config.env).source
    source = dataclasses.replace(
        known,
        env_kwargs=_object("env_kwargs", config.env_kwargs),
        crop=config.crop or known.crop,
        image_size=config.image_size,
        frame_skip=config.frame_skip,
        fps=config.fps or known.fps,
    )
    env = _make(source, config.module)
    num_actions = int(env.action_space.n)  # type: ignore[attr-defined]
    if not source.action_meanings:
        own_names = getattr(env.unwrapped, "get_action_meanings", None)
        names = tuple(own_names()) if own_names else tuple(f"ACTION_{i}" for i in range(num_actions))
        source = dataclasses.replace(source, action_meanings=names)
    if not source.effects:
        source = dataclasses.replace(source, effects=tuple(range(num_actions)))
    env.close()
    return source


def record(config: RecordConfig, game: Game | None = None) -> EpisodeStore:
    """Record ``config.steps`` steps and return the finished store.

    Args:
        config: what to record.
        game: knowledge about the game, where ``genie_env.games.registry`` has none.

    Raises:
        ValueError: if the env offers no picture, nobody can play it, or the folder exists already.
    """
    if config.steps < 1 or config.shard_steps < 2:
        raise ValueError(f"expected steps >= 1 and shard_steps >= 2, got {config.steps} and {config.shard_steps}")
    game = game or game_for(config.env)
    source, mixture = source_for(config), _object("players", config.players)
    check_mixture(mixture, game)
    settings = {"steps": config.steps, "seed": config.seed, "shard_steps": config.shard_steps, "players": mixture}
    writer = EpisodeWriter(config.out, source, game.truth_names, settings)
    num_shards = -(-config.steps // config.shard_steps)
    missing = [i for i in range(num_shards) if not writer.has_shard(i)]
    jobs = [(writer, game, source, config, mixture, index) for index in missing]
    with tqdm(total=num_shards, initial=num_shards - len(missing), desc="record", unit="shard") as bar:
        for _ in _run(jobs, min(config.workers, len(jobs))):
            bar.update()
    return writer.finish(num_shards)


def _run(jobs: list[Any], workers: int) -> Any:
    if workers <= 1:
        yield from map(_record_shard, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_record_shard, jobs)


def _record_shard(job: tuple[EpisodeWriter, Game, SourceConfig, RecordConfig, dict[str, float], int]) -> None:
    writer, game, source, config, mixture, index = job
    rng = np.random.default_rng([config.seed, index])
    env = _make(source, config.module)
    left = min(config.shard_steps, config.steps - index * config.shard_steps)
    episodes = []
    while left > 0:
        episodes.append(_play_episode(env, game, rng, left, mixture))
        left -= len(episodes[-1].actions_T)
    env.close()
    writer.write_shard(index, episodes)


def _play_episode(
    env: SourceGame, game: Game, rng: np.random.Generator, max_steps: int, mixture: dict[str, float]
) -> Episode:
    num_actions = int(env.action_space.n)  # type: ignore[attr-defined]
    name, player = make_player(game, num_actions, rng, mixture)
    frame, info = env.reset(seed=int(rng.integers(2**31)))
    truth = _truth(game, env, info)
    frames, truths, actions, rewards = [frame], [truth], [], []
    terminated = truncated = False
    while len(actions) < max_steps and not (terminated or truncated):
        action = player.act(truth)
        frame, reward, terminated, truncated, info = env.step(action)
        truth = _truth(game, env, info)
        frames.append(frame)
        truths.append(truth)
        actions.append(action)
        rewards.append(reward)
    columns = [[t[k] for k in game.truth_names] for t in truths]
    return Episode(
        np.stack(frames), np.array(actions), np.array(rewards), terminated, np.array(columns, dtype=np.float32), name
    )


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}: expected JSON, got {text!r} ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{name}: expected a JSON object like {{...}}, got {text!r}")
    return found


def _truth(game: Game, env: SourceGame, info: dict[str, Any]) -> dict[str, float]:
    return game.truth(env, info) if game.truth else {}


def _make(source: SourceConfig, module: str) -> SourceGame:
    if module:
        __import__(module)
    return make_source_game(source)


def main(config: RecordConfig) -> None:
    """Command line."""
    print(record(config).summary())


if __name__ == "__main__":
    raise SystemExit(run(main, RecordConfig, description=__doc__))
