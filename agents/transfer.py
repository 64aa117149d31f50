"""What a policy learned in a dream is worth in the real game: ``python -m agents.transfer runs/ppo/policy``.

Plays the real game through the twin, beside random play, the scripted heuristic and, where one is given, a policy
that learned in the real game. Writes ``transfer.json``, ``transfer.md`` and ``transfer.gif`` (the real game on the
left, the dream on the right, from the same first frames, the policy playing both).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from stable_baselines3.common.vec_env import VecEnv

from agents.sb3.evaluate_policy import Chooser, Scores, chooser, play_from, row_by_row, stepping
from agents.sb3.make_envs import make_dreams, make_real_games
from agents.sb3.policy_io import PolicyConfig, load_policy
from agents.sb3.policy_spec import Senses
from agents.scripted import make_policy
from genie_env.bundle import load_world
from genie_env.command import run
from genie_env.files.atomic import write_json
from genie_env.files.video import write_gif
from genie_env.frames import side_by_side
from genie_env.games.registry import game_for
from genie_env.statistics import mean
from genie_env.tables import markdown_table
from genie_env.world import World

ROWS = 10
LEAD = 8
"""Real frames that the dream in the picture begins from."""


@dataclass(frozen=True)
class TransferConfig:
    """Score a policy in the real game."""

    policy: tyro.conf.Positional[Path]
    """Folder of the policy."""
    episodes: int = 30
    """Real games of each player."""
    out: Path | None = None
    """Folder for the results; the default is the policy's own."""
    real_policy: Path | None = None
    """Policy trained in the real game (``agents.train_ppo --env ALE/Pong-v5``), to stand beside it."""
    world: str | None = None
    """World, where it is not found under the name that the policy remembers."""
    dream_steps: int = 1000
    """Steps of each of 10 dreams that the policy is scored in (0: none)."""
    drawn: bool = True
    """Also score policies that draw their actions, as they do while they learn, instead of taking the likeliest."""
    scripted: bool = True
    """Also score random play and, where the game is known, the scripted heuristic."""
    gif_steps: int = 300
    """Length of the GIF (0: none)."""
    seed: int = 0
    """Of games and players."""
    device: str = "auto"
    """Of the dreams."""


def transfer(config: TransferConfig) -> dict[str, Any]:
    """Play, write the results and return them.

    Raises:
        ValueError: if a policy, the world or its game cannot be used.
        ImportError: if the game is not installed.
    """
    policy, kept = load_policy(config.policy)
    world = load_world(config.world or kept.world, config.device)
    out = config.out or config.policy
    out.mkdir(parents=True, exist_ok=True)
    rows = min(ROWS, config.episodes)
    ours = f"this policy ({kept.algo}, learned in {kept.trained.get('env', '?')})"
    networks = {ours: (kept.senses, policy)}
    if config.real_policy is not None:
        real, other = load_policy(config.real_policy)
        networks[f"{other.algo}, learned in {other.trained.get('env', '?')}"] = (other.senses, real)
    ways = {"likeliest actions": True, "drawn actions": False} if config.drawn else {"likeliest actions": True}
    found: dict[str, Any] = {"policy": kept.to_json(), "seed": config.seed, "real": {}, "dream": {}}
    for name, (senses, network) in networks.items():
        for way, deterministic in ways.items():
            games = make_real_games(world, senses, rows)
            found["real"][f"{name}, {way}"] = _figures(_score(games, chooser(network, deterministic), config))
    scripts = ("random", "heuristic") if game_for(world.config.source.env_id).follow else ("random",)
    for name in scripts if config.scripted else ():
        scripted = [make_policy(name, world.config, config.seed + row) for row in range(rows)]
        games = make_real_games(world, plain_senses(world), rows)
        found["real"][name] = _figures(_score(games, row_by_row(scripted), config))
    if config.dream_steps:
        dreams = make_dreams(config.world or kept.world, kept.senses, ROWS, device=config.device)
        for way, deterministic in ways.items():
            scores = play_from(config.seed, chooser(policy, deterministic), dreams, steps=config.dream_steps)
            found["dream"][f"{ours}, {way}"] = _figures(scores)
    write_json(out / "transfer.json", found)
    (out / "transfer.md").write_text(markdown(found))
    if config.gif_steps:
        frames = real_beside_dream(world, config.world or kept.world, kept, policy, config)
        write_gif(out / "transfer.gif", frames, world.config.source.fps, scale=4)
    return found


def plain_senses(world: World) -> Senses:
    """One colour frame, and the game's own actions: what players that learn nothing take."""
    actions = tuple(range(len(world.config.source.action_meanings)))
    return Senses("rgb", "real", actions, actions, frame_stack=1)


def markdown(found: dict[str, Any]) -> str:
    """The table of scores."""
    header = ("player", "where", "games", "mean score", "95 % interval", "net points per 1,000 steps")
    places = (("real game", found["real"]), ("dream", found["dream"]))
    rows = []
    for where, players in places:
        for name, f in players.items():
            average = "–" if f["mean"] is None else f"{f['mean']:.1f}"
            # A single game has no interval.
            span = "–" if f["low"] is None else f"[{f['low']:.1f}, {f['high']:.1f}]"
            rows.append((name, where, f["games"], average, span, f"{f['per_1000']:+.1f}"))
    return markdown_table(header, rows)


def real_beside_dream(
    world: World, name: str, kept: PolicyConfig, policy: Any, config: TransferConfig
) -> list[np.ndarray]:
    """Frames uint8 [H, 2W+2, 3] of a real game and of a dream that goes on from its first frames by itself."""
    games = make_real_games(world, kept.senses, 1)
    games.seed(config.seed)
    real = _watch(games, chooser(policy, deterministic=True), LEAD + config.gif_steps)
    dreams = make_dreams(name, kept.senses, 1, device=config.device, render_mode="rgb_array")
    dreams.seed(config.seed)
    dreams.set_options({"frames": np.stack(real[:LEAD])})
    dream = _watch(dreams, chooser(policy, deterministic=True), config.gif_steps)
    pairs = zip(real[LEAD:], dream, strict=True)
    return [side_by_side(pair) for pair in pairs]


def _score(venv: VecEnv, choose: Chooser, config: TransferConfig) -> Scores:
    scores = play_from(config.seed, choose, venv, games=config.episodes)
    venv.close()
    return scores


def _figures(scores: Scores) -> dict[str, Any]:
    found = mean(scores.games)
    average, low, high = (x if np.isfinite(x) else None for x in found[:3])
    return {
        "games": found.count,
        "mean": average,
        "low": low,
        "high": high,
        "scores": scores.games.tolist(),
        "steps": scores.steps,
        "per_1000": scores.per_1000,
    }


def _watch(venv: VecEnv, choose: Chooser, steps: int) -> list[np.ndarray]:
    """Pictures uint8 [H, W, 3] of one row of play, after each step."""
    frames = []
    for _ in islice(stepping(choose, venv), steps):
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
