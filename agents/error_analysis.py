"""What keeps a policy from winning: ``python -m agents.error_analysis RUN/policy --real-policy REAL_RUN/policy``.

One experiment for each suspect (learner, sampling of actions, action map, outcome head, world), each in net points per
1,000 steps of the game with a 95 % interval. Writes ``error_analysis.json`` and ``error_analysis.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from agents.sb3.evaluate_policy import Chooser, chooser, seeded, steps_of
from agents.sb3.make_envs import make_dreams, make_real_games, recorded_starts
from agents.sb3.policy_io import load_policy
from genie_env.bundle import load_world, pin_world
from genie_env.command import run
from genie_env.files.atomic import write_json, write_text
from genie_env.games.registry import Game, game_for
from genie_env.games.sprites import find_sprites
from genie_env.policies.config import own_folder
from genie_env.policies.spec import PolicySpec
from genie_env.statistics import Interval, difference_of_means, mean
from genie_env.tables import markdown_table
from genie_env.world import World

GONE = 4
"""Frames without a ball that are no blink: the game itself hides it for one, and for 15 after a point."""
EDGE = 8.0
"""Pixels from the left or right edge within which a ball that is no longer seen has left the field."""
NUM_STARTS = 512
"""Beginnings drawn from a recording."""


@dataclass(frozen=True)
class ErrorAnalysisConfig:
    """Find out what keeps a policy from winning the real game."""

    policy: tyro.conf.Positional[Path]
    """Folder or hf:// address of the policy that learned in the dream."""
    real_policy: Path | None = None
    """Policy of the same learner that learned in the real game (``agents.train_ppo --env ALE/Pong-v5``)."""
    out: Path | None = None
    """Folder for the results; the default is the policy's own."""
    world: str | None = None
    """World to use where it is not found under the name that the policy remembers."""
    starts: Path | None = None
    """Recording whose moments dreams begin in; the default is the world's own beginnings."""
    rows: int = 16
    """Games and dreams played at once; intervals draw these."""
    steps: int = 2000
    """Steps of each game and dream."""
    seed: int = 0
    """Seed of the games, the dreams and the policies' sampling."""
    device: str = "auto"
    """Torch device of the dreams, or ``auto``."""

    def __post_init__(self) -> None:
        for name in ("rows", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")


class PlayRecord(NamedTuple):
    """What happened in R rows of play, T steps each."""

    rewards_TR: np.ndarray
    ball_x_TR: np.ndarray
    """Column of the ball in the picture after each step, NaN where none is seen; all NaN in unknown games."""
    restarted_TR: np.ndarray
    """bool: that picture is the first of another episode."""

    @property
    def nets_R(self) -> np.ndarray:
        """Points won minus points lost in 1,000 steps."""
        return 1000 * np.sign(self.rewards_TR).mean(0)


class BallExits(NamedTuple):
    """How often a ball went out of sight for good, per 1,000 steps of each row."""

    won_R: np.ndarray
    lost_R: np.ndarray
    vanished_R: np.ndarray
    """Exits in the middle of the field, where no ball can leave."""


class Finding(NamedTuple):
    """One measured number: net points per 1,000 steps, or as named."""

    suspect: str
    experiment: str
    found: Interval

    def row(self) -> dict[str, Any]:
        """A row of a flat table."""
        numbers = {name: x if math.isfinite(x) else None for name, x in self.found._asdict().items()}
        return {"suspect": self.suspect, "experiment": self.experiment, **numbers}


class _Player(NamedTuple):
    """A loaded policy and everything needed to let it play."""

    config: ErrorAnalysisConfig
    world: World
    world_name: str
    game: Game | None
    """Knowledge about the game, where balls can be followed."""
    spec: PolicySpec
    network: Any

    def in_game(self, likeliest: bool = False, through_codes: bool = False) -> PlayRecord:
        games = make_real_games(self.world, self.spec, self.config.rows, through_codes=through_codes)
        return _record(games, chooser(self.network, likeliest), self.config, self.game, "real game")

    def in_dream(self) -> PlayRecord:
        starts, config = None, self.config
        if config.starts is not None:
            starts = recorded_starts(self.world, config.starts, NUM_STARTS, seed=config.seed)
        options = {"starts": starts, "device": config.device, "render_mode": "rgb_array"}
        dreams = make_dreams(self.world_name, self.spec, config.rows, **options)
        return _record(dreams, chooser(self.network), config, self.game, "dream")


def analyse_errors(config: ErrorAnalysisConfig) -> list[Finding]:
    """Run all experiments that can be run, write the results and return them.

    Raises:
        ValueError: if a policy, the world or its game cannot be used.
        ImportError: if the game is not installed.
    """
    out = config.out or own_folder(config.policy)
    policy, about = load_policy(config.policy)
    name = str(pin_world(config.world or about.world))
    world = load_world(name, config.device)
    game, mapped = game_for(world.config.source.env_id), world.config.action_map
    followed = game if game.colours is not None and game.follow is not None and game.follow.along == "y" else None
    make_player: Callable[..., _Player] = partial(_Player, config, world, name, followed)
    player = make_player(about.spec, policy)
    ours, dreamed = player.in_game(), player.in_dream()
    found = [
        Finding("all", "this policy in the real game, drawn actions", mean(ours.nets_R)),
        _minus("sampling", "likeliest actions minus drawn ones, real game", player.in_game(likeliest=True), ours),
    ]
    if mapped is not None and about.spec.action_type == "real":
        through = player.in_game(through_codes=True)
        about_map = "actions sent through the latent codes and back minus plain ones"
        found.append(_minus("action map", about_map, through, ours))
    found.append(_minus("world", "this policy in the dream minus in the real game", dreamed, ours))
    if config.real_policy is not None:
        other_policy, about_other = load_policy(config.real_policy)
        other = make_player(about_other.spec, other_policy)
        theirs = other.in_game()
        about_learner = "the same learner, trained in the real game, minus this policy, real game"
        found += [
            _minus("learner", about_learner, theirs, ours),
            _minus("world", "that policy in the dream minus in the real game", other.in_dream(), theirs),
        ]
    if followed is not None:
        found += _by_picture(ours, dreamed, world.config.tokenizer.image_size)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "error_analysis.json", [finding.row() for finding in found])
    write_text(out / "error_analysis.md", markdown(found))
    return found


def ball_exits(play: PlayRecord, width: int) -> BallExits:
    """Count points by where the ball was last seen, not by rewards; the own paddle is at the right.

    Args:
        play: of a game in which the ball leaves to the left or to the right.
        width: of a frame in pixels.
    """
    steps, rows = play.ball_x_TR.shape
    counts_SR = np.zeros((len(BallExits._fields), rows))
    for row in range(rows):
        last, gone = float("nan"), 0
        for x, restarted in zip(play.ball_x_TR[:, row], play.restarted_TR[:, row], strict=True):
            gone = gone + 1 if np.isnan(x) else 0
            if np.isfinite(last) and (gone == GONE or restarted):
                side = 0 if last < EDGE else 1 if last > width - EDGE else 2
                # A dream that was cut off with its ball in the field lost none.
                counts_SR[side, row] += not (restarted and side == 2)
                last = float("nan")
            if np.isfinite(x):
                last = float(x)
    return BallExits(*(1000 * counts_SR / steps))


def markdown(found: list[Finding]) -> str:
    """The table of experiments."""
    rows = [(f.suspect, f.experiment, f"{f.found.value:+.2f}", _span(f.found)) for f in found]
    return markdown_table(("suspect", "experiment", "per 1,000 steps", "95 % interval"), rows)


def _span(found: Interval) -> str:
    return f"[{found.low:+.2f}, {found.high:+.2f}]" if np.isfinite(found.low) else "–"


def _by_picture(real: PlayRecord, dreamed: PlayRecord, width: int) -> list[Finding]:
    """The outcome head against the pictures it reads, and pictures of the dream against the real game's."""
    found = []
    for where, play in (("real game", real), ("dream", dreamed)):
        seen = ball_exits(play, width)
        differ_R = play.nets_R - (seen.won_R - seen.lost_R)
        experiment = f"net points by rewards minus those by the pictures, {where}"
        found.append(Finding("outcome head", experiment, mean(differ_R)))
        found.append(Finding("world", f"balls that vanish in mid-field, {where}", mean(seen.vanished_R)))
    return sorted(found, key=lambda finding: finding.suspect)


def _record(venv: VecEnv, choose: Chooser, config: ErrorAnalysisConfig, game: Game | None, where: str) -> PlayRecord:
    rewards, balls, restarted = [], [], []
    with seeded(venv, config.seed):
        played = islice(steps_of(choose, venv), config.steps)
        for step in tqdm(played, total=config.steps, desc=where, unit="step", leave=False):
            rewards.append(step.rewards_B)
            restarted.append(step.done_B)
            balls.append(_tracked_x(venv, game) if game else np.full(venv.num_envs, np.nan))
    venv.close()
    return PlayRecord(np.array(rewards), np.array(balls), np.array(restarted))


def _tracked_x(venv: VecEnv, game: Game) -> np.ndarray:
    """Column of the tracked sprite in each row's picture, [B]."""
    assert game.colours is not None
    frames_BHWC = np.stack([frame for frame in venv.get_images() if frame is not None])
    return find_sprites(frames_BHWC, game.colours).coordinates()[f"{game.tracked}_x"]


def _minus(suspect: str, experiment: str, ours: PlayRecord, theirs: PlayRecord) -> Finding:
    """Difference of the means; rows are not paired, since each draws its own game."""
    return Finding(suspect, experiment, difference_of_means(ours.nets_R, theirs.nets_R))


def main(config: ErrorAnalysisConfig) -> None:
    """Command line."""
    print(markdown(analyse_errors(config)))


if __name__ == "__main__":
    raise SystemExit(run(main, ErrorAnalysisConfig, description=__doc__))
