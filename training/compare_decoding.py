"""How should frames be chosen? ``python -m training.compare_decoding pong --data data/pong --out report/decoding``.

Compares greedy decoding, drawing at several temperatures and beam search, on the same held-out clips and in free play,
and what each costs. Writes ``decoding.json``, ``decoding.md`` after each way, and ``strips.png``; run the same
command again to go on after a stop.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from genie_env.bundle import pin_world
from genie_env.command import run
from genie_env.files.atomic import claim_folder, read_json, write_json, write_text
from genie_env.files.video import write_png
from genie_env.frames import grid, upscale
from genie_env.games.registry import Game
from genie_env.measurement import Measurement, Metric, Subset, with_fields
from genie_env.rollout.beam import check_beam
from genie_env.statistics import mean
from genie_env.tables import markdown_table
from training.evaluation.dreams import DREAM, HorizonScores
from training.evaluation.free_play import FREE_PLAY, REAL, measure_play, play_beams, play_dream, play_real
from training.evaluation.held_out import Clips, HeldOutPlay, dream_log_probs, predict
from training.evaluation.held_out_config import HeldOutConfig

GREEDY = "greedy"
SETTINGS, REPORT, KEPT = "run.json", "decoding.md", "what was dreamed"
SHOWN = {
    (Metric.CHANGED_TOKEN_ACCURACY, Subset.BEFORE_SERVE),
    (Metric.CHANGED_TOKEN_ACCURACY_DIFFERENCE, Subset.BEFORE_SERVE),
    *((metric, "") for metric in (Metric.POSITION_ERROR, Metric.NEAR, Metric.NEAR_DIFFERENCE)),
    *((metric, "") for metric in (Metric.LOG_PROB, Metric.FRAME_COST, Metric.PRESENT, Metric.EXACTLY_ONE)),
    *((metric, "") for metric in (Metric.POINTS, Metric.LONGEST_STILL, Metric.REPEATING_ROWS)),
}
"""Metrics and subsets that ways are compared by."""
STRIPS, STRIP_SCALE = 3, 2


@dataclass(frozen=True)
class CompareDecodingConfig(HeldOutConfig):
    """Compare ways to choose the next frames."""

    out: Path = Path("report/decoding")
    """Folder for what is dreamed and found."""
    temperatures: tuple[float, ...] = (0.5, 1.0)
    """Temperatures above 0 to draw at; greedy is always there."""
    beams: tuple[int, ...] = (2, 4, 8)
    """Dreams kept of each row."""
    passes: tuple[int, ...] = (1, 2)
    """Decoding passes of beams."""
    num_clips: int = 64
    """Held-out clips that are dreamed from."""
    context: int = 16
    """Real frames that a dream begins from."""
    horizons: tuple[int, ...] = (10, 20, 50)
    """Steps after which a dream is compared with what really came."""
    play_rows: int = 8
    """Rows of free play."""
    play_steps: int = 300
    """Steps of free play."""
    play_horizon: int = 10
    """Steps of free play that are searched at once and kept."""

    def __post_init__(self) -> None:
        self.require_positive("num_clips", "context", "play_rows", "play_steps", "play_horizon", "max_frames")
        for name, lowest in (("temperatures", 1e-9), ("beams", 2), ("passes", 1), ("horizons", 1)):
            if any(value < lowest for value in getattr(self, name)):
                raise ValueError(f"{name}: expected numbers >= {lowest:g}, got {getattr(self, name)}")
        if not self.horizons:
            raise ValueError("horizons: expected at least one")
        if self.temperature is not None or self.decode_steps is not None:
            raise ValueError("temperature, decode_steps: expected --temperatures and --passes instead")

    def sized(self) -> CompareDecodingConfig:
        """Return this configuration, with small sizes where ``quick`` asks for them."""
        if not self.quick:
            return self
        small = {"num_clips": 4, "play_rows": 2, "play_steps": 20, "max_frames": 600, "horizons": (2, 5)}
        return replace(self, beams=self.beams[:1], temperatures=self.temperatures[:1], **small)


@dataclass(frozen=True)
class Way:
    """A way to choose frames."""

    name: str
    temperature: float = 0.0
    beam: int | None = None
    passes: int | None = None
    """None: the world's own."""


def ways(config: CompareDecodingConfig) -> Iterator[Way]:
    """Greedy first, which is a beam of one: what others are compared with."""
    yield Way(GREEDY, beam=1)
    for temperature in config.temperatures:
        yield Way(f"temperature {temperature:g}", temperature)
    for beam in config.beams:
        for passes in config.passes:
            yield Way(f"beam {beam}, {passes} pass{'es' * (passes > 1)}", beam=beam, passes=passes)


def compare(config: CompareDecodingConfig, game: Game | None = None) -> list[Measurement]:
    """Dream in every way that was not dreamed yet, measure all, and write the report.

    Args:
        config: what to compare, and on how much.
        game: knowledge about the game, where ``genie_env.games.registry`` has none.

    Raises:
        ValueError: if the world or the recording cannot be read, the recording is too short, or the folder holds
            a comparison with other settings.
    """
    config = config.sized()
    config = replace(config, world=str(pin_world(config.world)))
    play = config.open(game)
    clips = play.clips(config.num_clips, config.context, max(config.horizons), config.seed)
    found: list[Measurement] = []
    # Which ways there are may change from run to run; what they are compared on may not.
    varied = ("out", "temperatures", "beams", "passes", "device")
    sizes = play.world.config.tokenizer.num_tokens, min(config.play_horizon, max(config.horizons))
    for beam in config.beams:  # better now than after hours
        check_beam(beam, play.world.dynamics, play.world.config.sampling, *sizes)
    settled = {k: str(v) for k, v in dataclasses.asdict(config).items() if k not in varied}
    claim_folder(config.out / SETTINGS, settled)
    real = _real(config, play)
    greedy: HorizonScores | None = None
    for way in ways(config):
        if not _kept(config, way).exists():
            _dream(config, way, play, clips)
        scores = HorizonScores.of(play, clips, config.horizons, _tokens(config, way))
        greedy = greedy or scores
        measured = [
            *scores.measure(relative=False),
            *(scores.measure_against(greedy) if scores is not greedy else []),
            *map(Measurement.from_json, read_json(_kept(config, way), KEPT)["measured"]),
        ]
        found += with_fields(_shown(measured, play), source=way.name)
        _write(config, [*found, *real], clips)
    _draw_strips(config, play, clips)
    return [*found, *real]


def _dream(config: CompareDecodingConfig, way: Way, play: HeldOutPlay, clips: Clips) -> None:
    """Dream one way from clips and freely, and keep what was dreamed and what it cost."""
    own = play.world.config.sampling
    sampling = replace(own, temperature=way.temperature, decode_steps=way.passes or own.decode_steps)
    if config.top_p is not None:
        sampling = replace(sampling, top_p=config.top_p)
    began = time.process_time()
    dreamed_CHN = predict(play.world, clips, sampling, beam=way.beam)
    cost = 1000 * (time.process_time() - began) / (dreamed_CHN.shape[0] * dreamed_CHN.shape[1])
    sizes = (config.world, config.play_rows, config.play_steps, config.seed)
    options: dict[str, Any] = {"top_p": config.top_p, "decode_steps": way.passes, "device": config.device}
    if way.beam is None:
        free = play_dream(*sizes, None, temperature=way.temperature, runtime="torch", **options)
    else:
        free = play_beams(*sizes, way.beam, config.play_horizon, **options)
    log_probs_CH = dream_log_probs(play.world, clips, dreamed_CHN).numpy()
    measured = [
        Measurement.of(Metric.LOG_PROB, mean(log_probs_CH), experiment=DREAM),
        Measurement.of(Metric.FRAME_COST, cost, experiment=DREAM),
        *with_fields(measure_play(free, play.game, {}), experiment=FREE_PLAY),
    ]
    write_json(_kept(config, way), {"tokens": dreamed_CHN.tolist(), "measured": _to_json(measured)})


def _real(config: CompareDecodingConfig, play: HeldOutPlay) -> list[Measurement]:
    """The real game played by the same policy, where it is installed; it is played once."""
    path = config.out / "real.json"
    if not path.exists():
        source, effects = play.world.config.source, play.store.manifest.source.effects
        try:
            real = play_real(source, config.play_rows, config.play_steps, config.seed, effects)
        except (ImportError, ValueError, gym.error.Error):
            return []
        write_json(path, _to_json(measure_play(real, play.game, {})))
    found = with_fields(map(Measurement.from_json, read_json(path, "real play")), experiment=FREE_PLAY, source=REAL)
    return _shown(found, play)


def _to_json(measured: list[Measurement]) -> list[dict[str, Any]]:
    """Records of what there was to measure."""
    return [one.to_json() for one in measured if math.isfinite(one.value)]


def _shown(measured: list[Measurement], play: HeldOutPlay) -> list[Measurement]:
    return [m for m in measured if (m.metric, m.subset) in SHOWN and m.sprite in ("", play.game.tracked)]


def _tokens(config: CompareDecodingConfig, way: Way) -> torch.Tensor:
    """What one way dreamed from the clips, int64 [C, H, N]."""
    return torch.tensor(read_json(_kept(config, way), KEPT)["tokens"])


def _kept(config: CompareDecodingConfig, way: Way) -> Path:
    return config.out / "ways" / f"{way.name.replace(', ', '_').replace(' ', '_')}.json"


def _write(config: CompareDecodingConfig, found: list[Measurement], clips: Clips) -> None:
    write_json(config.out / "decoding.json", [one.row() for one in found])
    about = (
        f"Dreams of {len(clips.tokens_CTN)} held-out clips with the actions really taken, and {config.play_rows} rows "
        f"of {config.play_steps} steps of free play by random actions held for one to eight steps, of which beams "
        f"search {config.play_horizon} at a time. Brackets: 95 % intervals over clips, or over rows of free play. "
        f"Differences are paired; their baseline is {GREEDY}."
    )
    write_text(config.out / REPORT, f"## decoding\n\n{about}\n\n" + "\n".join(_tables(found)))


def _tables(found: list[Measurement]) -> Iterator[str]:
    """Markdown with a row for each way: a table for each value that has horizons, and one for all others."""
    for label in dict.fromkeys(one.label for one in found if one.horizon is not None):
        shown = [one for one in found if one.label == label and one.horizon is not None]
        yield _table(label, shown, "h = {0.horizon}")
    yield _table("frames by", [one for one in found if one.horizon is None], "{0.label}")


def _table(title: str, shown: list[Measurement], column: str) -> str:
    columns = [*dict.fromkeys(column.format(one) for one in shown)]
    cells = {(one.source, column.format(one)): str(one.interval) for one in shown}
    sources = [*dict.fromkeys(one.source for one in shown)]
    return markdown_table([title, *columns], [[s, *(cells.get((s, c), "") for c in columns)] for s in sources])


def _draw_strips(config: CompareDecodingConfig, play: HeldOutPlay, clips: Clips) -> None:
    """The clips in which the widest beam and greedy differ most: real frames, greedy ones, those of the beam."""
    greedy, *_, widest = ways(config)
    dreamed = [_tokens(config, way) for way in (greedy, widest)]
    differ_C = (dreamed[0] != dreamed[1]).sum((1, 2))
    at = np.unique(np.linspace(0, max(config.horizons) - 1, 11).astype(int))
    rows: list[list[np.ndarray]] = []
    for clip in differ_C.argsort(descending=True, stable=True)[:STRIPS].tolist():
        pictures = [play.world.decode(tokens_CHN[[clip]])[0].cpu().numpy() for tokens_CHN in dreamed]
        real_HHWC = clips.frames_CTHWC[clip, clips.context :]
        rows += [[frames[t] for t in at] for frames in (real_HHWC, *pictures)]
    write_png(config.out / "strips.png", upscale(grid(rows, gap=1), STRIP_SCALE))


def main(config: CompareDecodingConfig) -> None:
    """Command line."""
    compare(config)
    print((config.sized().out / REPORT).read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(run(main, CompareDecodingConfig, description=__doc__))
