"""What keeps a policy from winning: ``python -m agents.error_analysis RUN/policy --real-policy REAL_RUN/policy``.

One experiment for each suspect (learner, drawing of actions, action map, outcome head, world), each in net points per
1,000 steps of the game: what is lost there, and how sure that is. Writes ``faults.json`` and ``faults.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from agents.sb3.evaluate_policy import Chooser, begun_at, chooser, stepping
from agents.sb3.make_envs import make_dreams, make_real_games, recorded_starts
from agents.sb3.policy_io import load_policy
from agents.sb3.policy_spec import Senses
from genie_env.bundle import load_world
from genie_env.command import run
from genie_env.files.atomic import write_json
from genie_env.games.registry import Game, game_for
from genie_env.games.sprites import find_sprites
from genie_env.statistics import Interval, difference_of_means, mean
from genie_env.tables import markdown_table

GONE = 4
"""Frames without a ball that are no blink: the game itself hides it for one, and for 15 after a point."""
EDGE = 8.0
"""A ball last seen within so many pixels of the left or right edge has left the field."""
NUM_STARTS = 512


@dataclass(frozen=True)
class FaultsConfig:
    """Find out what keeps a policy from winning the real game."""

    policy: tyro.conf.Positional[Path]
    """Folder of the policy that learned in the dream."""
    real_policy: Path | None = None
    """Policy of the same learner that learned in the real game (``agents.train_ppo --env ALE/Pong-v5``)."""
    out: Path | None = None
    """Folder for the results; the default is the policy's own."""
    world: str | None = None
    """World, where it is not found under the name that the policy remembers."""
    starts: Path | None = None
    """Recording whose moments dreams begin in; the default is the world's own beginnings."""
    rows: int = 16
    """Games and dreams played at once; intervals draw these."""
    steps: int = 2000
    """Steps of each."""
    seed: int = 0
    """Of games, dreams and what policies draw."""
    device: str = "auto"
    """Of the dreams."""

    def __post_init__(self) -> None:
        for name in ("rows", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")


class Watched(NamedTuple):
    """What happened in R rows of play, T steps each."""

    rewards_TR: np.ndarray
    ball_x_TR: np.ndarray
    """Column of the ball in the picture after each step, NaN where none is seen; all NaN in unknown games."""
    began_TR: np.ndarray
    """bool: that picture is the first of another episode."""

    @property
    def nets_R(self) -> np.ndarray:
        """Points won minus points lost in 1,000 steps."""
        return 1000 * np.sign(self.rewards_TR).mean(0)


class Exits(NamedTuple):
    """How often a ball went out of sight for good, per 1,000 steps of each row."""

    won_R: np.ndarray
    lost_R: np.ndarray
    vanished_R: np.ndarray
    """In the middle of the field, where none can leave."""


class Finding(NamedTuple):
    """One measured number: net points per 1,000 steps, or as named."""

    suspect: str
    experiment: str
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, suspect: str, experiment: str, found: Interval) -> Finding:
        """A finding with its interval."""
        return cls(suspect, experiment, found.value, found.low, found.high)


def find_faults(config: FaultsConfig) -> list[Finding]:
    """Run all experiments that can be run, write the results and return them.

    Raises:
        ValueError: if a policy, the world or its game cannot be used.
        ImportError: if the game is not installed.
    """
    policy, kept = load_policy(config.policy)
    name = config.world or kept.world
    world = load_world(name, config.device)
    game, mapped = game_for(world.config.source.env_id), world.config.action_map
    known = game if game.colours is not None and game.follow is not None and game.follow.along == "y" else None
    starts = None
    if config.starts is not None:
        starts = recorded_starts(world, config.starts, NUM_STARTS, seed=config.seed)

    def real(senses: Senses, network: Any, likeliest: bool = False, through_codes: bool = False) -> Watched:
        games = make_real_games(world, senses, config.rows, through_codes=through_codes)
        return _watch(games, chooser(network, likeliest), config, known, "real game")

    def dream(senses: Senses, network: Any) -> Watched:
        dreams = make_dreams(name, senses, config.rows, starts=starts, device=config.device, render_mode="rgb_array")
        return _watch(dreams, chooser(network), config, known, "dream")

    ours, dreamed = real(kept.senses, policy), dream(kept.senses, policy)
    found = [
        _mean("all", "this policy in the real game, drawn actions", ours.nets_R),
        _minus("drawing", "likeliest actions minus drawn ones, real game", real(kept.senses, policy, True), ours),
    ]
    if mapped is not None and kept.senses.action_type == "real":
        through = real(kept.senses, policy, through_codes=True)
        found.append(
            _minus("action map", "actions sent through the latent codes and back minus plain ones", through, ours)
        )
    found.append(_minus("world", "this policy in the dream minus in the real game", dreamed, ours))
    if config.real_policy is not None:
        other, others = load_policy(config.real_policy)
        theirs = real(others.senses, other)
        found += [
            _minus("learner", "the same learner, taught by the real game, minus this policy, real game", theirs, ours),
            _minus("world", "that policy in the dream minus in the real game", dream(others.senses, other), theirs),
        ]
    if known is not None:
        found += _by_picture(ours, dreamed, world.config.tokenizer.image_size)
    out = config.out or config.policy
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "faults.json", {"steps": config.steps, "found": [finding._asdict() for finding in found]})
    (out / "faults.md").write_text(markdown(found))
    return found


def exits(watched: Watched, width: int) -> Exits:
    """Count points by where the ball was last seen, not by rewards; the own paddle is at the right.

    Args:
        watched: play of a game in which the ball leaves to the left or to the right.
        width: of a frame in pixels.
    """
    steps, rows = watched.ball_x_TR.shape
    counts_SR = np.zeros((len(Exits._fields), rows))
    for row in range(rows):
        last, gone = float("nan"), 0
        for x, began in zip(watched.ball_x_TR[:, row], watched.began_TR[:, row], strict=True):
            gone = gone + 1 if np.isnan(x) else 0
            if np.isfinite(last) and (gone == GONE or began):
                side = 0 if last < EDGE else 1 if last > width - EDGE else 2
                # A dream that was cut off with its ball in the field lost none.
                counts_SR[side, row] += not (began and side == 2)
                last = float("nan")
            if np.isfinite(x):
                last = float(x)
    return Exits(*(1000 * counts_SR / steps))


def markdown(found: list[Finding]) -> str:
    """The table of experiments."""
    rows = [(f.suspect, f.experiment, f"{f.mean:+.2f}", f"[{f.low:+.2f}, {f.high:+.2f}]") for f in found]
    return markdown_table(("suspect", "experiment", "per 1,000 steps", "95 % interval"), rows)


def _by_picture(real: Watched, dreamed: Watched, width: int) -> list[Finding]:
    """The outcome head against the pictures it reads, and pictures of the dream against the real game's."""
    found = []
    for where, watched in (("real game", real), ("dream", dreamed)):
        seen = exits(watched, width)
        differ_R = watched.nets_R - (seen.won_R - seen.lost_R)
        found.append(_mean("outcome head", f"net points by rewards minus those by the pictures, {where}", differ_R))
        found.append(_mean("world", f"balls that vanish in mid-field, {where}", seen.vanished_R))
    return sorted(found, key=lambda finding: finding.suspect)


def _watch(venv: VecEnv, choose: Chooser, config: FaultsConfig, game: Game | None, where: str) -> Watched:
    rewards, balls, began = [], [], []
    with begun_at(config.seed, venv):
        played = islice(stepping(choose, venv), config.steps)
        for step in tqdm(played, total=config.steps, desc=where, unit="step", leave=False):
            rewards.append(step.rewards_B)
            began.append(step.done_B)
            balls.append(_tracked_x(venv, game) if game else np.full(venv.num_envs, np.nan))
    venv.close()
    return Watched(np.array(rewards), np.array(balls), np.array(began))


def _tracked_x(venv: VecEnv, game: Game) -> np.ndarray:
    """Column of the tracked sprite in each row's picture, [B]."""
    assert game.colours is not None
    frames_BHWC = np.stack([frame for frame in venv.get_images() if frame is not None])
    return find_sprites(frames_BHWC, game.colours).coordinates()[f"{game.tracked}_x"]


def _mean(suspect: str, experiment: str, values_R: np.ndarray) -> Finding:
    return Finding.of(suspect, experiment, mean(values_R))


def _minus(suspect: str, experiment: str, ours: Watched, theirs: Watched) -> Finding:
    """Difference of the means; rows are not paired, since each draws its own game."""
    return Finding.of(suspect, experiment, difference_of_means(ours.nets_R, theirs.nets_R))


def main(config: FaultsConfig) -> None:
    """Command line."""
    print(markdown(find_faults(config)))


if __name__ == "__main__":
    raise SystemExit(run(main, FaultsConfig, description=__doc__))
