"""Why does a world's dream get worse? ``python -m training.diagnose pong --data data/pong`` tests ten theories.

Writes the table of findings, one measured test for each theory, as ``diagnosis.md`` and ``diagnosis.json``, and draws
how far dreams drift. Then it finds where dreams leave the recording, at which events, and whether the recording's
training episodes show what comes there (``leaving.json`` and pictures). ``--attention`` draws what the dynamics looks
at instead.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from genie_env.command import run
from genie_env.config import SamplingConfig
from genie_env.files.atomic import write_json, write_text
from genie_env.games.registry import Game
from training.data.token_store import TokenStore
from training.evaluation.array_metrics import count_places
from training.evaluation.attention_pictures import draw_attention, most_changed_clip
from training.evaluation.diagnosis_inputs import PASS_FRAMES, DiagnosisInputs
from training.evaluation.experience import read_experience
from training.evaluation.findings import RULE, Finding, table
from training.evaluation.held_out import Clips, HeldOutPlay, predict
from training.evaluation.held_out_config import HeldOutConfig
from training.evaluation.leaving import find_departures, measure_neighbours
from training.evaluation.leaving_pictures import draw_strips, plot_causes
from training.evaluation.leaving_report import CAUSES_PLOT, STRIPS_PLOT, as_json, section
from training.evaluation.neighbours import Neighbours
from training.evaluation.plots import plot_curves
from training.evaluation.theories import THEORIES

LONG_WINDOWS = 4
"""Windows of real frames that make a context longer than any layer can see at once."""
DRIFT_PLOT = "drift.png"


@dataclass(frozen=True)
class DiagnoseConfig(HeldOutConfig):
    """Test ten theories of why a world's dream gets worse with every step, and find where dreams leave the game."""

    out: Path = Path("report/diagnosis")
    """Folder for the findings."""
    num_tests: int = 64
    """Held-out clips that every theory is tested on."""
    theories: bool = True
    """Test the theories; ``--no-theories`` only finds where dreams leave the recording."""
    test_masking: bool = True
    """Test the first theory, too."""
    leaving_tests: int = 96
    """Held-out clips of which it is found where their dreams leave the recording."""
    training_frames: int = 100_000
    """Most frames of the training episodes in which it is looked up whether they show what comes there."""
    steps: int = 50
    """Frames dreamed from each clip."""
    dynamics_path: Path | None = None
    """Folder of the dynamics stage, whose checkpoint's raw weights are compared with the averaged ones."""
    attention: bool = False
    """Draw spatial and temporal attention over a held-out frame, and test nothing."""
    max_frames: int = 12_000
    """Most frames read of the held-out episodes, and of the training episodes."""

    def __post_init__(self) -> None:
        self.require_positive("num_tests", "steps", "leaving_tests", "training_frames", "max_frames")

    def sized(self) -> DiagnoseConfig:
        """Return this configuration, with small sizes where ``quick`` asks for them."""
        small = {"num_tests": 4, "steps": 6, "leaving_tests": 8, "training_frames": 600, "max_frames": 600}
        return dataclasses.replace(self, **small) if self.quick else self


def diagnose(config: DiagnoseConfig, game: Game | None = None) -> list[Finding]:
    """Test all theories, find where dreams leave the recording, and write both down.

    Args:
        config: what to test, and on how much of it.
        game: knowledge about the game, where ``genie_env.games.registry`` has none.

    Raises:
        ValueError: if world, recording or checkpoint cannot be read, or the recording is too short.
    """
    config = config.sized()
    play = config.open(game)
    findings, parts = [], []
    if config.theories:
        inputs = make_inputs(play, config)
        findings = [theory(inputs) for theory in tqdm(THEORIES, desc="theories", unit="theory")]
        parts.append(report(inputs.world.config.name, findings, len(inputs.clips.tokens_CTN)))
    departed, text = find_leaving(play, config)
    parts.append(text)
    write_text(config.out / "diagnosis.md", "\n".join(parts))
    write_json(config.out / "leaving.json", departed)
    write_json(config.out / "diagnosis.json", [finding.row() for finding in findings])
    if findings:
        curve = [one for finding in findings for one in finding.result.curve]
        plot_curves(config.out / DRIFT_PLOT, curve, "horizon", "step of the dream")
    return findings


def attention(config: DiagnoseConfig, game: Game | None = None) -> list[Path]:
    """Draw what the dynamics looks at when it predicts a held-out frame, and return the pictures' paths.

    Raises:
        ValueError: as :func:`diagnose`.
    """
    config = config.sized()
    play = dataclasses.replace(config, max_frames=min(config.max_frames, 2000)).open(game)
    clips = play.clips(config.num_tests, play.world.config.dynamics.window, 1, config.seed)
    return draw_attention(config.out, play, clips, most_changed_clip(clips, play.game.colours))


def find_leaving(play: HeldOutPlay, config: DiagnoseConfig) -> tuple[dict[str, Any], str]:
    """Find and draw where dreams leave the recording; return that as plain JSON and as a section of the report."""
    clips = play.clips(config.leaving_tests, play.world.config.dynamics.window, config.steps, config.seed)
    tokens = None if config.tokens is None else TokenStore(config.tokens)
    experience = read_experience(play, config.training_frames, tokens)
    neighbours, sampling = Neighbours(experience), config.sampling(play.world.config.sampling)
    dreamed_CHN = predict(play.world, clips, sampling)
    likely_CHN = predict(play.world, clips, SamplingConfig(temperature=0.0), forced=True)
    departed = find_departures(play, clips, dreamed_CHN, likely_CHN, experience, neighbours)
    accuracy = measure_neighbours(clips, dreamed_CHN, likely_CHN, neighbours)
    config.out.mkdir(parents=True, exist_ok=True)
    plot_causes(config.out / CAUSES_PLOT, departed)
    draw_strips(config.out / STRIPS_PLOT, play, clips, dreamed_CHN, departed.found)
    found = departed, accuracy, len(experience.tokens_FN)
    return as_json(*found), section(*found)


def make_inputs(play: HeldOutPlay, config: DiagnoseConfig) -> DiagnosisInputs:
    """Everything the tests need: held-out clips, as many others, long ones, and what training play looks like."""
    window = play.world.config.dynamics.window
    clips = play.clips(2 * config.num_tests, window, config.steps, config.seed)
    half = len(clips.tokens_CTN) // 2
    if half < 1:
        raise ValueError(f"{play.store.folder}: expected at least two held-out clips of {window + config.steps} frames")
    return DiagnosisInputs(
        play,
        config.sampling(play.world.config.sampling),
        clips.select(slice(half), config.steps),
        clips.select(slice(half, 2 * half), config.steps),
        _long_clips(play, half, window, config.seed),
        seen_tokens(play, config.max_frames),
        config.seed,
        config.test_masking,
        config.dynamics_path,
    )


def seen_tokens(play: HeldOutPlay, max_frames: int) -> np.ndarray:
    """Which token some training frame shows at which place, bool [N, V]."""
    sizes = play.world.config.tokenizer
    seen_NV, left, entries = np.zeros((sizes.num_tokens, sizes.vocab_size), bool), max_frames, play.store.split("train")
    for entry in tqdm(entries, desc="training play", unit="episode"):
        if left > 0:
            frames = np.array(play.store.array("frames", entry)[:left])
            seen_NV |= count_places(play.world.encode(frames[None])[0].cpu().numpy(), sizes.vocab_size) > 0
            left -= len(frames)
    return seen_NV


def report(world: str, findings: list[Finding], num_tests: int) -> str:
    """The findings as Markdown."""
    lines = [
        f"# Ten theories of why dreams get worse: {world}",
        "",
        f"Measured by `python -m training.diagnose` on {num_tests} held-out clips. {RULE}",
        "",
        table(findings),
        f"![how far dreams drift]({DRIFT_PLOT})",
        "",
    ]
    return "\n".join(lines)


def _long_clips(play: HeldOutPlay, count: int, window: int, seed: int) -> Clips | None:
    try:
        return play.clips(count, LONG_WINDOWS * window, PASS_FRAMES, seed + 1)
    except ValueError:
        return None


def main(config: DiagnoseConfig) -> None:
    """Command line."""
    if config.attention:
        print("\n".join(str(path) for path in attention(config)))
    else:
        diagnose(config)
        print((config.out / "diagnosis.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(run(main, DiagnoseConfig, description=__doc__))
