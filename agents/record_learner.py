"""Record a learner that plays the real game: ``python -m agents.record_learner --env ALE/Freeway-v5 --out data/mine``.

For games without a scripted player. Everything is recorded that a PPO learner (Schulman et al. 2017) plays while it
learns, from beginner to good: as ``learner_0`` in the first tenth of the way to ``learner_9`` in the last. A share of
the games, smaller and smaller, is played by players that prefer an action for a while. Where rewards are rare a learner
would otherwise see none and learn nothing (see :mod:`agents.sb3.guided_policy`), and once it plays well its games
would be copies of each other.

A game that tells more than its picture (CartPole its angles, MinAtar its board) is learned from that, most of the time
without drawing: beside each recorded step the learner plays ten for practice.

The game is configured as ``training.record`` does it, so ``training.join`` makes one recording of both. Run the same
command again to go on after a stop; what was played since the last finished file is played again. A game that is cut
where a file ends goes on in the next episode.

With ``--policy FOLDER`` a policy that has learned plays instead, such as ``data/mine/player/policies/000100000`` or
one of ``agents.train_ppo``: it draws its actions, more or less at random by ``--temperatures``, and learns nothing.
Exploring players play as large a share of its games as at the end of learning, a fifth of ``--explore``.
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from stable_baselines3.common.policies import BasePolicy
from tyro.conf import OmitArgPrefixes

from agents.sb3.play_policy import check_policy, eyes_of, play_policy
from agents.sb3.policy_io import load_policy
from agents.sb3.record_learning import LAST_EXPLORED, LearnerConfig, learn_recorded, learner_policy_config
from agents.sb3.recorded_games import RecordedGames
from agents.sb3.recorded_shards import FOLDER, TENTHS, Budget, Shards
from agents.sb3.run_folder import RunFolder
from genie_env.command import Interrupted, on_stop_signal, run
from genie_env.config import SourceConfig
from genie_env.data.description import describe
from genie_env.data.episodes import EpisodeStore, EpisodeWriter
from genie_env.files.atomic import hold_folder
from genie_env.games.recorded_source import recorded_source
from genie_env.games.registry import game_for
from genie_env.games.source_game import make_source_game
from genie_env.policies.config import PolicyConfig


@dataclass(frozen=True)
class RecordLearnerConfig:
    """Record a learner in the real game, or a policy that has learned."""

    out: Path
    """Folder to make; it appears only when the recording is complete."""
    env: str = "ALE/Pong-v5"
    """Gymnasium id of the game."""
    steps: int = 100_000
    """Environment steps (actions) of all games together, rounded up to whole steps of all."""
    minutes: float | None = None
    """Time after which the recording ends, though it has fewer steps; tenths are then tenths of the time."""
    seed: int = 0
    """Seed of games, network and draws."""
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
    module: str = ""
    """Python module to import first, when importing it registers the env."""
    shard_steps: int = 10_000
    """Most steps in one file; a file ends with every tenth of the way too. What a stop loses is at most one file."""
    learner: OmitArgPrefixes[LearnerConfig] = LearnerConfig()
    """Settings of the learner."""
    policy: Path | None = None
    """Folder or hf:// address of a policy that plays instead of a learner."""
    temperatures: tuple[float, ...] = (0.5, 1.0, 2.0)
    """What the policy's logits are divided by, drawn for each game: 1 plays as it learned, more is more random."""


def record_learner(config: RecordLearnerConfig) -> EpisodeStore:
    """Record, or go on recording, and return the finished store.

    Raises:
        ValueError: if the game shows no picture, the folder exists already, or game, policy and settings do not fit.
        ImportError: if the game is not installed; the message names the extra.
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP; finished files stay.
    """
    # A policy that does not learn is the same all the way.
    parts = TENTHS if config.policy is None else 1
    budget = Budget(config.steps, config.shard_steps, config.minutes, parts)
    if not config.temperatures or not all(0 < t < float("inf") for t in config.temperatures):
        raise ValueError(f"temperatures: expected numbers > 0, got {list(config.temperatures)}")
    source = recorded_source(
        config.env,
        config.env_kwargs,
        crop=config.crop,
        image_size=config.image_size,
        pad=config.pad,
        frame_skip=config.frame_skip,
        fps=config.fps,
        module=config.module,
    )
    policy, about = _who_plays(config, source)
    writer = EpisodeWriter(config.out, source, game_for(config.env).truth_names, _settings(config))
    with on_stop_signal(partial(_stop, config)), hold_folder(writer.partial / FOLDER):
        shards = Shards(writer, budget)
        games = _make_games(config, source, about, len(shards.lines))
        try:
            if policy is not None and about is not None:
                explored = LAST_EXPLORED * config.learner.explore
                play_policy(policy, about, games, shards, config.temperatures, explored, config.seed)
            else:
                run = RunFolder(writer.partial / FOLDER, _settings(config))
                learn_recorded(config.learner, games, shards, run, about, config.seed)
        finally:
            games.close()
    return shards.finish()


def _who_plays(config: RecordLearnerConfig, source: SourceConfig) -> tuple[BasePolicy | None, PolicyConfig | None]:
    """The policy that plays, None where one is to be learned, and its configuration, None where it sees no frames."""
    if config.policy is None:
        if _learns_from_state(config, source):
            return None, None
        actions = len(source.action_meanings)
        return None, learner_policy_config(config.learner, source.image_size, actions, config.env)
    policy, about = load_policy(config.policy)
    check_policy(about, source)
    return policy, about


def _learns_from_state(config: RecordLearnerConfig, source: SourceConfig) -> bool:
    if config.learner.sees == "frames":
        return False
    game = make_source_game(source)
    game.close()
    if config.learner.sees == "state" and game.state_space is None:
        raise ValueError(f"sees: expected frames, for {config.env} tells a player nothing but its picture; got state")
    return game.state_space is not None


def _make_games(
    config: RecordLearnerConfig, source: SourceConfig, policy: PolicyConfig | None, part: int
) -> RecordedGames:
    """Games that begin differently in each part that a resume plays."""
    games = [make_source_game(source) for _ in range(config.learner.n_envs)]
    knowledge, rng = game_for(config.env), np.random.default_rng([config.seed, part, 1])
    if policy is None:
        return RecordedGames(games, knowledge, rng, games[0].state_space, None, config.learner.practice)
    return RecordedGames(games, knowledge, rng, *eyes_of(policy, source))


def _settings(config: RecordLearnerConfig) -> dict[str, Any]:
    """Everything that a recording cannot change when it goes on, JSON-plain; the game is described apart."""
    settings = {"recorded_by": "agents.record_learner", **dataclasses.asdict(config)}
    for name in ("out", "env", "env_kwargs", "crop", "image_size", "pad", "frame_skip", "fps"):
        del settings[name]
    return {**settings, "policy": str(config.policy) if config.policy is not None else None}


def _stop(config: RecordLearnerConfig, signum: int) -> NoReturn:
    raise Interrupted(f"stopped; run the same command to go on ({config.out})", signum)


def main(config: RecordLearnerConfig) -> None:
    """Command line."""
    # Rows times steps need not be a multiple of the batch; the last batch is then smaller, which does no harm.
    warnings.filterwarnings("ignore", message=".*mini-batch size.*")
    store = record_learner(config)
    print(store.summary())
    print(describe(store).text(), end="")


if __name__ == "__main__":
    raise SystemExit(run(main, RecordLearnerConfig, description=__doc__))
