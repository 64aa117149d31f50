"""What planning in the dream is worth in the real game: ``python -m agents.score_planner --planner tree --games 3``.

A planner learns nothing: before each choice it tries sequences of actions in dreams that go on from the real game's
last frames. Writes ``NAME.json``, which says what each game brought and cost. Run the same command again to go on
after a stop, or with more games to play only those that are missing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm
from tyro.conf import OmitArgPrefixes

from agents.sb3.evaluate_policy import Chooser, evaluate_policy
from agents.sb3.make_envs import make_real_games
from genie_env.bundle import load_world, pin_world
from genie_env.command import run
from genie_env.envs.options import ActionType, EnvOptions, Runtime
from genie_env.files.atomic import hold_folder, write_json
from genie_env.files.names import require_file_name
from genie_env.files.reading import read_json
from genie_env.planners.imagination import open_imagination
from genie_env.planners.player import PlanningPlayer, find_planner
from genie_env.planners.settings import PlannerSettings
from genie_env.policies.spec import PolicySpec, make_policy_spec
from genie_env.statistics import mean
from genie_env.tables import markdown_table

CONTENT = "the games of a planner"


@dataclass(frozen=True)
class ScorePlannerConfig:
    """Let a planner play the real game."""

    world: str = "pong"
    """Bundled name, folder or hf:// address of the world that it dreams in, whose game it plays."""
    planner: Literal["tree", "cem"] = "tree"
    """Tree search or cross-entropy method."""
    settings: OmitArgPrefixes[PlannerSettings] = PlannerSettings()
    """How far and how much it thinks ahead."""
    temperature: float | None = None
    """Temperature of the dreams; None: the world's own."""
    action_type: ActionType | None = None
    """Kind of actions: real or latent; None: real."""
    runtime: Runtime = "auto"
    """Program that dreams."""
    games: int = 3
    """Real games."""
    steps: int | None = None
    """Steps of each game after which it is cut off; None: games are played to their end."""
    name: str | None = None
    """Name of the file that is written; None: of world and planner."""
    out: Path = Path("runs/planners")
    """Folder of the file that is written."""
    seed: int = 0
    """Seed of the games and the planner."""

    def __post_init__(self) -> None:
        if self.games < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError(f"games, steps: expected whole numbers >= 1, got {self.games} and {self.steps}")
        if self.name is not None:
            require_file_name(self.name)


def score_planner(config: ScorePlannerConfig) -> dict[str, Any]:
    """Play the games that were not played yet; returns what the file holds.

    Raises:
        ValueError: if the world has no rewards, action map or game, or the file is of other settings.
        ImportError: if the game is not installed.
    """
    world_name = str(pin_world(config.world))
    world = load_world(world_name, "cpu")
    planner = find_planner(config.planner, **config.settings.to_json())
    # Before a folder is made, so that nothing is left where the world cannot be dreamed in.
    imagination = open_imagination(world_name, planner.rows, config.action_type, config.temperature, config.runtime)
    action_type = EnvOptions(action_type=config.action_type).resolved(world.config).action_type
    spec = make_policy_spec(world.config, "tokens", action_type, frame_stack=1)
    config.out.mkdir(parents=True, exist_ok=True)
    name = config.name or f"{world.config.name}_{config.planner}"
    path = config.out / f"{name}.json"
    with hold_folder(config.out):
        content = _earlier(path, _settings(config, world.config.name))
        games = make_real_games(world, spec, 1)
        for index in tqdm(range(len(content["games"]), config.games), desc="play", unit="game", disable=None):
            rng = np.random.default_rng((config.seed, index))
            player = PlanningPlayer(planner, imagination, spec.dream_actions, rng)
            began = time.perf_counter()
            limit = {"games": 1} if config.steps is None else {"steps": config.steps}
            scores = evaluate_policy(_chooser(player, spec), games, seed=config.seed + index, **limit)
            content["games"].append(
                {
                    "score": float(scores.games[0]) if len(scores.games) else None,
                    "steps": scores.steps,
                    "won": scores.won,
                    "lost": scores.lost,
                    "seconds": round(time.perf_counter() - began, 1),
                    "dreamed_steps": scores.steps // planner.hold * planner.dreamed_steps,
                }
            )
            write_json(path, content)
        games.close()
    return content


def markdown(content: dict[str, Any]) -> str:
    """One row that sums the games up."""
    games = content["games"]
    finished = np.array([game["score"] for game in games if game["score"] is not None])
    found, steps = mean(finished), sum(game["steps"] for game in games)
    net = 1000 * sum(game["won"] - game["lost"] for game in games) / max(1, steps)
    dreamed = sum(game["dreamed_steps"] for game in games) / max(1, steps)
    spent = 1000 * sum(game["seconds"] for game in games) / max(1, steps)
    header = ("planner", "games ended", "score", "net points per 1,000 steps", "dreamed steps a step", "ms a step")
    row = (content["settings"]["planner"], len(finished), str(found), f"{net:+.1f}", f"{dreamed:.0f}", f"{spent:.0f}")
    return markdown_table(header, [row])


def _settings(config: ScorePlannerConfig, world: str) -> dict[str, Any]:
    """What decides how games go, plain JSON."""
    kept = {name: getattr(config, name) for name in ("planner", "temperature", "action_type", "steps", "seed")}
    return {"world": world, **kept, **config.settings.to_json()}


def _earlier(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The games that were played before; none where there is no file.

    Raises:
        ValueError: if they were played with other settings.
    """
    if not path.exists():
        return {"settings": settings, "games": []}
    content = read_json(path, CONTENT)
    found = content.get("settings") if isinstance(content, dict) else None
    if found != settings:
        raise ValueError(
            f"{path}: expected {CONTENT} with the settings {settings}, found {found}; choose another --name"
        )
    return content


def _chooser(player: PlanningPlayer, spec: PolicySpec) -> Chooser:
    """The planner as what chooses in one row."""
    chosen = 0

    def choose(tokens_BN: np.ndarray, restarted_B: np.ndarray) -> np.ndarray:
        nonlocal chosen
        if restarted_B[0]:
            player.begin(tokens_BN[0])
        else:
            player.see(spec.dream_actions[chosen], tokens_BN[0])
        chosen = player.act()
        return np.array([chosen])

    return choose


def main(config: ScorePlannerConfig) -> None:
    """Command line."""
    print(markdown(score_planner(config)))


if __name__ == "__main__":
    raise SystemExit(run(main, ScorePlannerConfig, description=__doc__))
