"""Measure a world on held-out play: ``python -m training.evaluate pong --data data/pong --out report``.

Writes ``metrics.json``, ``report.md`` and pictures. Every figure stands beside what costs nothing (repeating the last
frame, the median background) or beside the real game played by the same policy.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro

from genie_env.bundle import find_world, load_world
from genie_env.command import run
from genie_env.config import SamplingConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.games.registry import Game, game_for
from genie_env.world import World
from training.evaluation import held_out
from training.evaluation.free_play import Play, play_dream, play_real
from training.evaluation.held_out import Clips, Reading
from training.evaluation.plots import plot_horizons
from training.evaluation.report import WORLD, Evaluation, Figures, Pictures, write_report
from training.evaluation.sections import (
    REAL,
    Reach,
    dynamics_sections,
    judge_play,
    play_section,
    reach_of,
    reading_sections,
    tokenizer_section,
)
from training.evaluation.speed import speed_section
from training.evaluation.sweeps import Sweep, diversity_sweep, sampling_sweep
from training.export import set_metrics

HORIZON_PLOT = "horizons.png"
SWEEP_ROWS, SWEEP_STEPS = 8, 300
"""Most rows and steps of the free play that a sweep judges each of its settings by."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a world on held-out play."""

    world: tyro.conf.Positional[str]
    """Bundled name or folder."""
    data: Path
    """Recording whose held-out episodes are used."""
    out: Path = Path("report")
    """Folder for the report."""
    num_clips: int = 128
    """Clips for the dynamics; four times as many single frames for tokenizer and latent actions."""
    context: int = 16
    """Real frames that a prediction begins from."""
    horizons: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    """Steps after which a dream is compared with what really came."""
    num_dreams: int = 16
    """Rows of free play, in the dream and in the real game."""
    dream_steps: int = 1000
    """Steps of free play."""
    sweeps: bool = True
    """Measure quality against temperature, decoding steps and action diversity; about half of the whole time."""
    temperatures: tuple[float, ...] = (0.0, 0.25, 0.5, 0.8, 1.0)
    """Temperatures of the first sweep."""
    decodings: tuple[int, ...] = (1, 2, 4)
    """Decoding steps of the second."""
    diversities: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0)
    """Action diversities of the third."""
    max_frames: int = 40_000
    """Most held-out frames read; clips come from these."""
    temperature: float | None = None
    """Instead of the world's own."""
    top_p: float | None = None
    """Likewise."""
    decode_steps: int | None = None
    """Likewise."""
    device: str = "auto"
    """``auto`` or a torch device."""
    module: str = ""
    """Python module to import first, when importing it registers the real game."""
    seed: int = 0
    """Seed of clips, policy and dreams."""
    write_metrics: bool = False
    """Also write this world's figures into its bundle and model card."""
    quick: bool = False
    """A few of everything, to see that it runs; no figure then means much."""

    def __post_init__(self) -> None:
        for name in ("num_clips", "context", "num_dreams", "dream_steps", "max_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")
        if not self.horizons or min(self.horizons) < 1:
            raise ValueError(f"horizons: expected whole numbers >= 1, got {self.horizons}")

    def sized(self) -> EvaluateConfig:
        """With small sizes where ``quick`` asks for them."""
        if not self.quick:
            return self
        small = {"num_clips": 8, "horizons": (1, 2, 5), "num_dreams": 2, "dream_steps": 40, "max_frames": 600}
        few = {name: getattr(self, name)[:2] for name in ("temperatures", "decodings", "diversities")}
        return dataclasses.replace(self, **small, **few)

    def sampling(self, own: SamplingConfig) -> SamplingConfig:
        """The world's own sampling, with this evaluation's changes."""
        changes = {"temperature": self.temperature, "top_p": self.top_p, "decode_steps": self.decode_steps}
        return dataclasses.replace(own, **{k: v for k, v in changes.items() if v is not None})

    def options(self) -> dict[str, Any]:
        """The same changes as options of the environment."""
        return {name: getattr(self, name) for name in ("temperature", "top_p", "decode_steps", "device")}


def evaluate(config: EvaluateConfig, game: Game | None = None) -> Evaluation:
    """Measure a world and write the report.

    Args:
        config: what to measure, and on how much of it.
        game: knowledge about the game, where ``genie_env.games.registry`` has none.

    Raises:
        ValueError: if the world or the recording cannot be read, or the recording is too short.
    """
    began, config = time.perf_counter(), config.sized()
    if config.module:
        importlib.import_module(config.module)
    world, store = load_world(config.world, config.device), EpisodeStore(config.data)
    game = game or game_for(store.manifest.source.env_id)
    sampling = config.sampling(world.config.sampling)
    readings = held_out.read_episodes(world, store, config.max_frames)
    sizes = (config.num_clips, config.context, max(config.horizons), config.seed)
    clips = held_out.take_clips(store, readings, *sizes, game.colours)
    config.out.mkdir(parents=True, exist_ok=True)  # better now than after minutes of measuring
    dreamed = held_out.roll(world, clips, sampling)
    played, notes = free_play(config, world, store.manifest.source.effects)
    reach = reach_of(clips, game)
    sections = [
        tokenizer_section(world, store, clips.background_HWC, game, 4 * config.num_clips, config.seed),
        *dynamics_sections(world, clips, game, config.horizons, sampling, dreamed),
        *reading_sections(world, store, readings, clips, game, sampling, dreamed, config.seed),
        play_section(world, played, readings, game, reach),
        speed_section(config.world, config.device, 20 if config.quick else 300),
    ]
    plot_horizons(config.out / HORIZON_PLOT, next(s for s in sections if s.title == "horizons"))
    swept = sweep(config, world, clips, readings, played, game, reach) if config.sweeps else []
    plots = [HORIZON_PLOT, *(one.plot(config.out) for one in swept)]
    sections += [one.section for one in swept]
    if game.colours is None:
        notes.append("no ground truth: the sprites of this game are not known, so no figure speaks of objects")
    settings = {**dataclasses.asdict(config), **dataclasses.asdict(sampling)}
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items() if v is not None}
    notes.append(f"measured in {time.perf_counter() - began:.0f} s")
    evaluation = Evaluation(world.config.name, settings, tuple(sections), tuple(notes))
    write_report(config.out, evaluation, _pictures(world, clips, dreamed, config, played[WORLD]), plots)
    if config.write_metrics:
        set_metrics(find_world(config.world), evaluation.flat())
    return evaluation


def free_play(config: EvaluateConfig, world: World, effects: tuple[int, ...]) -> tuple[dict[str, Play], list[str]]:
    """Play the dream and, where it is installed, the real game by the same policy; and say where it is not."""
    sizes = (config.num_dreams, config.dream_steps, config.seed)
    mapped = world.config.action_map is not None
    played = {WORLD: play_dream(config.world, *sizes, effects if mapped else None, **config.options())}
    try:
        return {**played, REAL: play_real(world.config.source, *sizes, effects)}, []
    except (ImportError, ValueError, gym.error.Error) as error:
        return played, [f"the real game could not be played: {error}"]


def sweep(
    config: EvaluateConfig,
    world: World,
    clips: Clips,
    readings: list[Reading],
    played: dict[str, Play],
    game: Game,
    reach: Reach,
) -> list[Sweep]:
    """Quality against temperature, decoding steps and action diversity."""
    rows, steps = min(config.num_dreams, SWEEP_ROWS), min(config.dream_steps, SWEEP_STEPS)
    real = {name: Play(*(part[:, : steps + 1] for part in play)) for name, play in played.items() if name == REAL}

    def free(**changes: Any) -> Figures:
        # Without effects nobody is said to obey: diversity executes other actions than those asked for.
        dream = play_dream(config.world, rows, steps, config.seed, None, **{**config.options(), **changes})
        return judge_play(world, {WORLD: dream, **real}, readings, game, reach)[WORLD]

    own = config.sampling(world.config.sampling)
    return [
        sampling_sweep(world, clips, game, own, "temperature", config.temperatures, free),
        sampling_sweep(world, clips, game, own, "decode_steps", config.decodings, free),
        diversity_sweep(config.diversities, free),
    ]


def _pictures(world: World, clips: Clips, dreamed_CHN: torch.Tensor, config: EvaluateConfig, play: Play) -> Pictures:
    real = clips.frames_CTHWC[:4, clips.context - 1 :]
    dream = np.concatenate([real[:, :1], world.decode(dreamed_CHN[:4]).cpu().numpy()], axis=1)
    return Pictures(real, dream, config.horizons, play.frames_BTHWC[0], world.config.source.fps)


def main(config: EvaluateConfig) -> None:
    """Command line."""
    evaluate(config)
    print((config.out / "report.md").read_text())


if __name__ == "__main__":
    raise SystemExit(run(main, EvaluateConfig, description=__doc__))
