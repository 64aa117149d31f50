"""Measure a world on held-out play: ``python -m training.evaluate pong --data data/pong --out report``.

Writes ``metrics.json``, ``report.md`` and pictures. Every figure stands beside what costs nothing (repeating the last
frame, the median background) or beside the real game played by the same policy.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
import tyro

from genie_env.bench import measure
from genie_env.bundle import find_world, load_world
from genie_env.config import SamplingConfig
from genie_env.episodes import EpisodeStore
from genie_env.world_model import World
from training import figures
from training.dataset import FrameDataset
from training.export import set_metrics
from training.figures import Clips, Reading
from training.free_play import Play, play_dream, play_figures, play_real
from training.games import Game, game_for
from training.report import WORLD, Evaluation, Figure, Pictures, Section, write_report
from training.sprites import detect

ARGMAX, FORCED, COPY, MEDIAN = "this world, argmax", "teacher-forced", "copy-last", "median background"
REAL, MAJORITY = "real game", "majority class"


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
    horizons: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    """Steps after which a dream is compared with what really came."""
    num_dreams: int = 16
    """Rows of free play, in the dream and in the real game."""
    dream_steps: int = 500
    """Steps of free play."""
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
        return dataclasses.replace(self, num_clips=8, horizons=(1, 2, 5), num_dreams=2, dream_steps=40, max_frames=600)

    def sampling(self, own: SamplingConfig) -> SamplingConfig:
        """The world's own sampling, with this evaluation's changes."""
        changes = {"temperature": self.temperature, "top_p": self.top_p, "decode_steps": self.decode_steps}
        return dataclasses.replace(own, **{k: v for k, v in changes.items() if v is not None})


def evaluate(config: EvaluateConfig, game: Game | None = None) -> Evaluation:
    """Measure a world and write the report.

    Args:
        config: what to measure, and on how much of it.
        game: knowledge about the game, where ``training.games`` has none.

    Raises:
        ValueError: if the world or the recording cannot be read, or the recording is too short.
    """
    began, config = time.perf_counter(), config.sized()
    if config.module:
        importlib.import_module(config.module)
    world, store = load_world(config.world, config.device), EpisodeStore(config.data)
    game = game or game_for(store.manifest.source.env_id)
    sampling = config.sampling(world.config.sampling)
    readings = figures.read_episodes(world, store, config.max_frames)
    clips = figures.take_clips(store, readings, config.num_clips, config.context, max(config.horizons), config.seed)
    config.out.mkdir(parents=True, exist_ok=True)  # better now than after minutes of measuring
    dreamed = figures.roll(world, clips, sampling)
    played, notes = free_play(config, world, store.manifest.source.effects)
    sections = (
        tokenizer_section(world, store, clips, game, config),
        *dynamics_sections(world, clips, game, config.horizons, sampling, dreamed),
        *reading_sections(world, store, readings, clips, game, config, dreamed),
        play_section(played, clips, game),
        speed_section(config),
    )
    if game.colours is None:
        notes.append("no ground truth: the sprites of this game are not known, so no figure speaks of objects")
    settings = {**dataclasses.asdict(config), **dataclasses.asdict(sampling)}
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items() if v is not None}
    notes.append(f"measured in {time.perf_counter() - began:.0f} s")
    evaluation = Evaluation(world.config.name, settings, sections, tuple(notes))
    write_report(config.out, evaluation, _pictures(world, clips, dreamed, config, played[WORLD]))
    if config.write_metrics:
        set_metrics(find_world(config.world), evaluation.flat())
    return evaluation


def tokenizer_section(world: World, store: EpisodeStore, clips: Clips, game: Game, config: EvaluateConfig) -> Section:
    """Frames drawn back from their tokens."""
    frames = FrameDataset(store, "test").frames(np.random.default_rng(config.seed), 4 * config.num_clips)
    drawn = world.decode(world.encode(frames[None]))[0].cpu().numpy()
    empty = np.broadcast_to(clips.background_HWC, frames.shape)
    columns = {
        name: figures.tokenizer_figures(frames.numpy(), picture, clips.background_HWC, game.colours)
        for name, picture in ((WORLD, drawn), (MEDIAN, empty))
    }
    return Section("tokenizer", "Held-out frames, encoded and decoded.", columns)


def dynamics_sections(
    world: World,
    clips: Clips,
    game: Game,
    horizons: tuple[int, ...],
    sampling: SamplingConfig,
    dreamed_CHN: torch.Tensor,
) -> list[Section]:
    """One step from real context, and dreams compared with what came."""
    forced = figures.roll(world, clips, sampling, forced=True)
    argmax = figures.roll(world, clips, SamplingConfig(temperature=0.0), forced=True)  # in one pass
    empty = world.encode(clips.background_HWC[None, None]).cpu().expand_as(dreamed_CHN)
    past = clips.tokens_CTN[:, clips.context - 1 : -1]
    steps = np.arange(dreamed_CHN.shape[1])
    next_frames = {WORLD: forced, ARGMAX: argmax, COPY: past, MEDIAN: empty}
    one_step = {
        name: figures.step_figures(figures.score(world, clips, tokens, steps)) for name, tokens in next_frames.items()
    }
    dreams = {WORLD: dreamed_CHN, FORCED: forced, COPY: past[:, :1].expand_as(past), MEDIAN: empty}
    later = {
        name: figures.horizon_figures(world, clips, tokens, horizons, game.colours) for name, tokens in dreams.items()
    }
    return [
        Section(
            "one step",
            f"The next frame from at least {clips.context} real frames and the inferred action. The argmax column "
            "takes one pass at temperature 0, the first the world's own sampling.",
            one_step,
        ),
        Section(
            "horizons",
            f"Dreams of h steps from {clips.context} real frames, with the actions inferred from what really came. "
            "Position errors are medians over clips whose sprite was there at the start and in which nobody scored "
            "since; a missing sprite counts as a whole picture's width away.",
            later,
        ),
    ]


def reading_sections(
    world: World,
    store: EpisodeStore,
    readings: list[Reading],
    clips: Clips,
    game: Game,
    config: EvaluateConfig,
    dreamed_CHN: torch.Tensor,
) -> list[Section]:
    """Latent actions and outcomes read from held-out episodes."""
    own, seed = world.config, config.seed
    ours, majority = figures.agreement_figures(readings, store, game, own.dynamics.num_actions)
    ours["ΔPSNR of its decoder, moving pixels, dB"] = figures.delta_psnr(world, store, 4 * config.num_clips, seed)
    worth = figures.action_worth(world, clips, config.sampling(own.sampling), dreamed_CHN, seed)
    ours["ΔPSNR of the dream, foreground, t = 4, dB"] = worth
    return [
        Section(
            "latent actions",
            "Agreement with the effects of the real actions over whole episodes. ΔPSNR: inferred against random codes.",
            {WORLD: ours, MAJORITY: majority},
        ),
        Section(
            "outcome", "Events read from real play, to within one frame.", {WORLD: figures.outcome_figures(readings)}
        ),
    ]


def free_play(config: EvaluateConfig, world: World, effects: tuple[int, ...]) -> tuple[dict[str, Play], list[str]]:
    """Play the dream and, where it is installed, the real game by the same policy; and say where it is not."""
    sizes = (config.num_dreams, config.dream_steps, config.seed)
    options = {name: getattr(config, name) for name in ("temperature", "top_p", "decode_steps", "device")}
    mapped = world.config.action_map is not None
    played = {WORLD: play_dream(config.world, *sizes, effects if mapped else None, **options)}
    try:
        return {**played, REAL: play_real(world.config.source, *sizes, effects)}, []
    except (ImportError, ValueError, gym.error.Error) as error:
        return played, [f"the real game could not be played: {error}"]


def play_section(played: dict[str, Play], clips: Clips, game: Game) -> Section:
    """What happens in free play, dreamed and real."""
    reach = {}
    if game.colours is not None:
        recorded = detect(clips.frames_CTHWC, game.colours)
        for name in dict.fromkeys(name for _, name, _ in game.obeys):
            place = recorded.coordinate(name)
            reach[name] = (float(np.nanmin(place)), float(np.nanmax(place)))
    return Section(
        "free play",
        "The same policy, random actions held for one to eight steps, in the dream and in the real game. A sprite "
        "obeys if it moves as the command says that has been held for two steps, where it has five pixels of room.",
        {name: play_figures(play, game, reach) for name, play in played.items()},
    )


_START = """
import time, sys
begun = time.perf_counter()
import genie_env
imported = time.perf_counter()
import gymnasium
gymnasium.make("Genie/World-v0", world=sys.argv[1], device=sys.argv[2]).reset(seed=0)
print(imported - begun, time.perf_counter() - imported)
"""


def speed_section(config: EvaluateConfig) -> Section:
    """How long a fresh process takes to begin, and how fast one row then steps."""
    busy = _busy_cores()
    command = [sys.executable, "-c", _START, config.world, config.device]
    seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    speed = measure(config.world, "rgb", 1, 20 if config.quick else 300, config.device).steps_per_second
    found = {
        "import genie_env, s": Figure(float(seconds[0])),
        "gym.make and reset in a fresh process, s": Figure(float(seconds[1])),
        "environment steps per second, one row with pictures": Figure(speed),
        "cores kept busy by others": Figure(busy),
    }
    said = "Nothing else ran." if busy < 0.2 else "NOT VALID unless nothing else ran, which is not so or not known."
    return Section("speed", f"On {os.cpu_count()} cores. {said}", {WORLD: found})


def _busy_cores() -> float:
    """Cores busy while this process sleeps for a second; NaN where the system does not tell."""

    def read() -> tuple[float, float]:
        ticks = [float(x) for x in Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
        return sum(ticks) - ticks[3] - ticks[4], time.perf_counter()

    try:
        (before, start), _, (after, stop) = read(), time.sleep(1.0), read()
    except OSError:
        return float("nan")
    return (after - before) / os.sysconf("SC_CLK_TCK") / (stop - start)


def _pictures(world: World, clips: Clips, dreamed_CHN: torch.Tensor, config: EvaluateConfig, play: Play) -> Pictures:
    real = clips.frames_CTHWC[:4, clips.context - 1 :]
    dream = np.concatenate([real[:, :1], world.decode(dreamed_CHN[:4]).cpu().numpy()], axis=1)
    return Pictures(real, dream, config.horizons, play.frames_BTHWC[0], world.config.source.fps)


def main() -> None:
    """Command line."""
    config = tyro.cli(EvaluateConfig, description=__doc__)
    evaluate(config)
    print((config.out / "report.md").read_text())


if __name__ == "__main__":
    main()
