"""What a policy learned in a dream is worth in the real game: ``python -m agents.transfer runs/ppo/policy``.

Plays the real game, seen as the world sees it, beside random play, the scripted heuristic and, where one is given, a
policy that learned in the real game. Writes ``transfer.json``, ``transfer.md`` and ``transfer.gif`` (the real game on
the left, the dream on the right, from the same first frames, the policy playing both).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from agents.sb3.evaluate_policy import Chooser, Scores, chooser, evaluate_policy, row_players, steps_of
from agents.sb3.make_envs import make_dreams, make_real_games
from agents.sb3.policy_io import load_policy
from agents.scripted import make_policy
from genie_env.bundle import load_world, pin_world
from genie_env.command import run
from genie_env.files.atomic import write_json, write_text
from genie_env.files.video import write_gif
from genie_env.frames import side_by_side
from genie_env.games.registry import game_for
from genie_env.policies.config import PolicyConfig, own_folder
from genie_env.policies.spec import PolicySpec, game_spec
from genie_env.statistics import mean
from genie_env.tables import markdown_table
from genie_env.world import World

ROWS = 10
"""Games or dreams played at once."""
LEAD = 8
"""Real frames that the dream in the picture begins from."""
GAME, DREAM = "real game", "dream"


@dataclass(frozen=True)
class TransferConfig:
    """Score a policy in the real game."""

    policy: tyro.conf.Positional[Path]
    """Folder or hf:// address of the policy."""
    episodes: int = 30
    """Real games of each player."""
    out: Path | None = None
    """Folder for the results; the default is the policy's own."""
    real_policy: Path | None = None
    """Policy trained in the real game (``agents.train_ppo --env ALE/Pong-v5``), to stand beside it."""
    world: str | None = None
    """World to use where it is not found under the name that the policy remembers."""
    dream_steps: int = 1000
    """Steps of each of 10 dreams that the policy is scored in (0: none)."""
    drawn: bool = True
    """Score policies that draw their actions, as they do while they learn."""
    likeliest: bool = True
    """Score policies that take the likeliest action always; without sticky actions they play few different games."""
    scripted: bool = True
    """Also score random play and, where the game is known, the scripted heuristic."""
    gif_steps: int = 300
    """Length of the GIF in steps (0: none)."""
    seed: int = 0
    """Seed of the games and the players."""
    device: str = "auto"
    """Torch device of the dreams, or ``auto``."""
    ray: str | None = None
    """Ray cluster whose machines dream, host:port, auto or local; None: this one does."""
    ray_workers: int = 2
    """Processes of the cluster."""

    def __post_init__(self) -> None:
        if not (self.drawn or self.likeliest):
            raise ValueError("drawn, likeliest: expected at least one of them, got neither")


class PlayerScore(NamedTuple):
    """One player's scores in one place."""

    player: str
    where: str
    """``real game`` or ``dream``."""
    scores: Scores

    def row(self) -> dict[str, Any]:
        """A row of a flat table, plain JSON; null where no game was finished, or only one."""
        found = mean(self.scores.games)
        ends = {name: x if math.isfinite(x) else None for name, x in zip(("mean", "low", "high"), found, strict=False)}
        return {
            "player": self.player,
            "where": self.where,
            "games": found.count,
            **ends,
            "per_1000": self.scores.per_1000,
            "steps": self.scores.steps,
            "scores": self.scores.games.tolist(),
        }


def transfer(config: TransferConfig) -> list[PlayerScore]:
    """Play, write the results and return them.

    Raises:
        ValueError: if a policy, the world or its game cannot be used.
        ImportError: if the game is not installed.
    """
    out = config.out or own_folder(config.policy)
    policy, about = load_policy(config.policy)
    world_name = str(pin_world(config.world or about.world))
    world = load_world(world_name, config.device)
    out.mkdir(parents=True, exist_ok=True)
    ours = f"this policy ({about.algo}, learned in {about.trained.get('env', '?')})"
    policies: dict[str, tuple[PolicySpec, BasePolicy]] = {ours: (about.spec, policy)}
    if config.real_policy is not None:
        other, about_other = load_policy(config.real_policy)
        policies[f"{about_other.algo}, learned in {about_other.trained.get('env', '?')}"] = (about_other.spec, other)
    found = _in_game(config, world, policies)
    if config.dream_steps:
        where: dict[str, Any] = {"device": config.device, "ray": config.ray, "ray_workers": config.ray_workers}
        dreams = make_dreams(world_name, about.spec, ROWS, **where)
        for way, deterministic in _ways(config).items():
            choose = chooser(policy, deterministic)
            scores = evaluate_policy(choose, dreams, seed=config.seed, steps=config.dream_steps)
            found.append(PlayerScore(f"{ours}, {way}", DREAM, scores))
        dreams.close()
    players = [score.row() for score in found]
    write_json(out / "transfer.json", {"policy": about.to_json(), "seed": config.seed, "players": players})
    write_text(out / "transfer.md", markdown(found))
    if config.gif_steps:
        frames = real_beside_dream(world, world_name, about, policy, config)
        write_gif(out / "transfer.gif", frames, world.config.source.fps, scale=4)
    return found


def markdown(found: list[PlayerScore]) -> str:
    """The table of scores."""
    rows = []
    for one in found:
        row = one.row()
        average = "–" if row["mean"] is None else f"{row['mean']:.1f}"
        span = "–" if row["low"] is None else f"[{row['low']:.1f}, {row['high']:.1f}]"
        rows.append((one.player, one.where, row["games"], average, span, f"{row['per_1000']:+.1f}"))
    header = ("player", "where", "games", "mean score", "95 % interval", "net points per 1,000 steps")
    return markdown_table(header, rows)


def real_beside_dream(
    world: World, world_name: str, about: PolicyConfig, policy: BasePolicy, config: TransferConfig
) -> list[np.ndarray]:
    """Frames uint8 [H, 2W+2, 3] of a real game and of a dream that goes on from its first frames by itself."""
    games = make_real_games(world, about.spec, 1)
    games.seed(config.seed)
    real = _film(games, chooser(policy, deterministic=True), LEAD + config.gif_steps)
    dreams = make_dreams(world_name, about.spec, 1, device=config.device, render_mode="rgb_array")
    dreams.seed(config.seed)
    dreams.set_options({"frames": np.stack(real[:LEAD])})
    dream = _film(dreams, chooser(policy, deterministic=True), config.gif_steps)
    return [side_by_side(pair) for pair in zip(real[LEAD:], dream, strict=True)]


def _in_game(
    config: TransferConfig, world: World, policies: dict[str, tuple[PolicySpec, BasePolicy]]
) -> list[PlayerScore]:
    """Scores of all policies, and of players that learn nothing, in the real game."""
    rows = min(ROWS, config.episodes)
    players: dict[str, tuple[PolicySpec, Chooser]] = {
        f"{name}, {way}": (spec, chooser(policy, deterministic))
        for name, (spec, policy) in policies.items()
        for way, deterministic in _ways(config).items()
    }
    scripts = ("random", "heuristic") if game_for(world.config.source.env_id).follow else ("random",)
    for name in scripts if config.scripted else ():
        scripted = [make_policy(name, world.config, config.seed + row) for row in range(rows)]
        players[name] = (game_spec(world.config), row_players(scripted))
    found = []
    for name, (spec, choose) in players.items():
        games = make_real_games(world, spec, rows)
        scores = evaluate_policy(choose, games, seed=config.seed, games=config.episodes)
        found.append(PlayerScore(name, GAME, scores))
        games.close()
    return found


def _ways(config: TransferConfig) -> dict[str, bool]:
    """How policies choose: whether each way is deterministic."""
    ways = {"likeliest actions": (True, config.likeliest), "drawn actions": (False, config.drawn)}
    return {name: deterministic for name, (deterministic, wanted) in ways.items() if wanted}


def _film(venv: VecEnv, choose: Chooser, steps: int) -> list[np.ndarray]:
    """Pictures uint8 [H, W, 3] of one row of play, after each step; closes the environment."""
    frames = []
    for _ in islice(steps_of(choose, venv), steps):
        picture = venv.get_images()[0]
        assert picture is not None
        frames.append(picture.copy())
    venv.close()
    return frames


def main(config: TransferConfig) -> None:
    """Command line."""
    print(markdown(transfer(config)))


if __name__ == "__main__":
    raise SystemExit(run(main, TransferConfig, description=__doc__))
