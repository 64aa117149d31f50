"""Measure a world on held-out play: ``python -m training.evaluate pong --data data/pong --out report``.

Writes ``metrics.json``, ``report.md`` and pictures. Every value stands beside what costs nothing (repeating the last
frame, the median background) or beside the real game played by the same policy.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from genie_env.bundle import find_own_world, pin_world
from genie_env.command import run
from genie_env.config import SamplingConfig
from genie_env.files.atomic import require_writable
from genie_env.games.registry import Game
from genie_env.measurement import WORLD, Measurement, select, with_fields
from genie_env.model_card import set_measurements
from genie_env.world import World
from training.evaluation.action_effect import measure_action_effect
from training.evaluation.codes_obeyed import measure_codes_obeyed
from training.evaluation.coverage import measure_coverage
from training.evaluation.dreams import DREAM, measure_action_worth, measure_dreams, measure_one_step
from training.evaluation.episodes import LATENT_ACTIONS, measure_latent_actions, measure_outcome, measure_tokenizer
from training.evaluation.free_play import (
    REAL,
    FreePlay,
    Reach,
    measure_free_play,
    play_dream,
    play_real,
    reach_of,
)
from training.evaluation.held_out import Clips, HeldOutPlay, predict
from training.evaluation.held_out_config import HeldOutConfig
from training.evaluation.plots import plot_horizons
from training.evaluation.realism import HORIZONS as REALISM_HORIZONS
from training.evaluation.realism import UPDATES, measure_realism, play_pairs, steps_needed
from training.evaluation.report import Pictures, write_report
from training.evaluation.speed import SPEED, measure_speed
from training.evaluation.sweeps import plot_sweep, sweep_diversity, sweep_sampling

HORIZON_PLOT = "horizons.png"
LONGEST_EFFECT = 20
"""Most steps for which two actions are held and compared."""
SWEEP_ROWS, SWEEP_STEPS = 8, 300
"""Most rows and steps of free play at each setting of a sweep."""


@dataclass(frozen=True)
class EvaluateConfig(HeldOutConfig):
    """Measure a world on held-out play."""

    out: Path = Path("report")
    """Folder for the report."""
    num_clips: int = 128
    """Clips for the dynamics; four times as many single frames for tokenizer and latent actions."""
    context: int = 16
    """Real frames that a prediction begins from."""
    horizons: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    """Steps after which a dream is compared with what really came."""
    num_moments: int = 40
    """Moments of the real game from which two actions are compared."""
    num_dreams: int = 16
    """Rows of free play, in the dream and in the real game."""
    dream_steps: int = 1000
    """Steps of free play."""
    realism_rows: int = 32
    """Rows of real play, and dreams of the same, on which a classifier learns to tell them apart; 0: it does not."""
    sweeps: bool = True
    """Measure quality against temperature, decoding steps and action diversity; about half of the whole time."""
    temperatures: tuple[float, ...] = (0.0, 0.25, 0.5, 0.8, 1.0)
    """Temperatures of the first sweep."""
    decodings: tuple[int, ...] = (1, 2, 4)
    """Decoding steps of the second sweep."""
    diversities: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0)
    """Action diversities of the third sweep."""
    ray: str | None = None
    """Ray cluster whose machines dream the free play, host:port, auto or local; None: this one does."""
    ray_workers: int = 2
    """Processes of the cluster."""
    write_metrics: bool = False
    """Also write this world's measurements into its bundle and model card."""

    def __post_init__(self) -> None:
        self.require_positive("num_clips", "context", "num_moments", "num_dreams", "dream_steps", "max_frames")
        if self.realism_rows < 0 or 0 < self.realism_rows < 4:
            raise ValueError(f"realism_rows: expected 0 or a whole number >= 4, got {self.realism_rows}")
        if not self.horizons or min(self.horizons) < 1:
            raise ValueError(f"horizons: expected whole numbers >= 1, got {self.horizons}")

    def sized(self) -> EvaluateConfig:
        """Return this configuration, with small sizes where ``quick`` asks for them."""
        if not self.quick:
            return self
        small = {"num_clips": 8, "num_moments": 3, "num_dreams": 2, "dream_steps": 40, "max_frames": 600}
        few = {name: getattr(self, name)[:2] for name in ("temperatures", "decodings", "diversities")}
        return dataclasses.replace(self, horizons=(1, 2, 5), realism_rows=4, **small, **few)

    def options(self) -> dict[str, Any]:
        """Sampling and device as options of the environment, and the machines of its rows."""
        names = ("temperature", "top_p", "decode_steps", "device", "ray", "ray_workers")
        return {name: getattr(self, name) for name in names}

    def settings(self, sampling: SamplingConfig) -> dict[str, Any]:
        """What a report says of how it was made, JSON-plain."""
        settings = {**dataclasses.asdict(self), **dataclasses.asdict(sampling)}
        # Where rows are dreamed decides nothing.
        shown = {name: value for name, value in settings.items() if value is not None and not name.startswith("ray")}
        return {name: str(value) if isinstance(value, Path) else value for name, value in shown.items()}


def evaluate(config: EvaluateConfig, game: Game | None = None) -> list[Measurement]:
    """Measure a world and write the report.

    Args:
        config: what to measure, and on how much of it.
        game: knowledge about the game, where ``genie_env.games.registry`` has none.

    Raises:
        ValueError: if the world or the recording cannot be read, or the recording is too short.
        OSError: if the report cannot be written; nothing is measured then.
    """
    began, config = time.perf_counter(), config.sized()
    own = find_own_world(config.world) if config.write_metrics else None
    config = dataclasses.replace(config, world=str(pin_world(config.world)))
    play = config.open(game)
    world = play.world
    clips = play.clips(config.num_clips, config.context, max(config.horizons), config.seed)
    # Better now than after minutes of measuring.
    config.out.mkdir(parents=True, exist_ok=True)
    for written in (config.out / "report.md", *([own / "config.json"] if own is not None else [])):
        require_writable(written)
    sampling, count = config.sampling(world.config.sampling), 4 * config.num_clips
    dreamed_CHN, forced_CHN = (predict(world, clips, sampling, forced) for forced in (False, True))
    plays, notes = _play_freely(config, world, play.store.manifest.source.effects)
    reach = reach_of(clips.frames_CTHWC, play.game)
    speed, note = measure_speed(config.world, config.device, 20 if config.quick else 300)
    effects, effect_notes = measure_action_effect(world, config.num_moments, _held(config.horizons), config.seed)
    notes += effect_notes
    worth = measure_action_worth(play, clips, sampling, dreamed_CHN, config.seed)
    realism, realism_notes = _realism(config, world, sampling)
    notes += realism_notes
    found = [
        *effects,
        *measure_coverage(play, config.seed),
        *measure_tokenizer(play, count, config.seed),
        *measure_one_step(play, clips, sampling, forced_CHN),
        *measure_dreams(play, clips, config.horizons, dreamed_CHN, forced_CHN),
        *measure_latent_actions(play, count, config.seed),
        *measure_codes_obeyed(play, clips, sampling),
        *with_fields(worth, experiment=LATENT_ACTIONS),
        *measure_outcome(play),
        *measure_free_play(plays, play, reach),
        *realism,
        *speed,
    ]
    plot_horizons(config.out / HORIZON_PLOT, select(found, experiment=DREAM))
    swept = _sweep(config, play, clips, plays, reach) if config.sweeps else []
    plots = [HORIZON_PLOT, *(plot_sweep(config.out, one) for one in swept)]
    found += [one for sweep in swept for one in sweep]
    if play.game.colours is None:
        notes.append("the sprites of this game are not known, so nothing is measured on objects")
    notes += [note, f"measured in {time.perf_counter() - began:.0f} s"]
    pictures = _pictures(world, clips, dreamed_CHN, config, plays[WORLD])
    write_report(config.out, world.config.name, found, config.settings(sampling), notes, pictures, plots)
    if own is not None:
        set_measurements(own, _own(found))
    return found


def _held(horizons: tuple[int, ...]) -> tuple[int, ...]:
    """Steps for which actions are held; longer ones than :data:`LONGEST_EFFECT` end many games."""
    return tuple(h for h in horizons if h <= LONGEST_EFFECT) or (LONGEST_EFFECT,)


def _own(found: list[Measurement]) -> list[Measurement]:
    """What the world itself did, at its own settings, and not how fast the machine was."""
    return [m for m in select(found, source=WORLD, setting=None) if m.experiment != SPEED and math.isfinite(m.value)]


def _play_freely(
    config: EvaluateConfig, world: World, effects: tuple[int, ...]
) -> tuple[dict[str, FreePlay], list[str]]:
    """Play the dream and, where it is installed, the real game by the same policy; and say where it is not."""
    sizes = (config.num_dreams, config.dream_steps, config.seed)
    mapped = world.config.action_map is not None
    plays = {WORLD: play_dream(config.world, *sizes, effects if mapped else None, **config.options())}
    try:
        return {**plays, REAL: play_real(world.config.source, *sizes, effects)}, []
    except (ImportError, ValueError, gym.error.Error) as error:
        return plays, [f"the real game could not be played: {error}"]


def _sweep(
    config: EvaluateConfig, play: HeldOutPlay, clips: Clips, plays: dict[str, FreePlay], reach: Reach
) -> list[list[Measurement]]:
    """Quality against temperature, decoding steps and action diversity."""
    rows, steps = min(config.num_dreams, SWEEP_ROWS), min(config.dream_steps, SWEEP_STEPS)
    real = {source: one.first(steps) for source, one in plays.items() if source == REAL}

    def measure(**changes: Any) -> list[Measurement]:
        # Without effects, obedience is not measured: diversity replaces the actions.
        dream = play_dream(config.world, rows, steps, config.seed, None, **{**config.options(), **changes})
        return select(measure_free_play({WORLD: dream, **real}, play, reach), source=WORLD)

    own = config.sampling(play.world.config.sampling)
    return [
        sweep_sampling(play, clips, own, "temperature", config.temperatures, measure),
        sweep_sampling(play, clips, own, "decode_steps", config.decodings, measure),
        sweep_diversity(config.diversities, measure),
    ]


def _realism(config: EvaluateConfig, world: World, sampling: SamplingConfig) -> tuple[list[Measurement], list[str]]:
    """How well dreams are told from the real game, where it is installed; and a note where it is not measured."""
    horizons = tuple(h for h in REALISM_HORIZONS if h <= config.dream_steps)
    if not config.realism_rows or not horizons:
        return [], []
    try:
        pairs = play_pairs(world, config.realism_rows, steps_needed(horizons), config.seed, sampling)
    except (ImportError, ValueError, gym.error.Error) as error:
        return [], [f"no classifier compared dreams with the real game: {error}"]
    return measure_realism(world, pairs, horizons, config.seed, updates=20 if config.quick else UPDATES), []


def _pictures(
    world: World, clips: Clips, dreamed_CHN: torch.Tensor, config: EvaluateConfig, dream: FreePlay
) -> Pictures:
    real = clips.frames_CTHWC[:4, clips.context - 1 :]
    dreamed = np.concatenate([real[:, :1], world.decode(dreamed_CHN[:4]).cpu().numpy()], axis=1)
    return Pictures(real, dreamed, config.horizons, dream.frames_BTHWC[0], world.config.source.fps)


def main(config: EvaluateConfig) -> None:
    """Command line."""
    evaluate(config)
    print((config.out / "report.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(run(main, EvaluateConfig, description=__doc__))
