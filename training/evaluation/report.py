"""The folder that a report is written to: a flat table of measurements as JSON, Markdown and pictures.

Owns how a report looks. Knows nothing about worlds or how anything is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genie_env.files.atomic import write_json, write_text
from genie_env.files.video import GIF_FRAMES, write_gif, write_png
from genie_env.frames import grid, upscale
from genie_env.measurement import Measurement, select
from genie_env.tables import markdown_table

SCALE = 4
SOURCES = {
    "world": "this world",
    "argmax": "this world, argmax",
    "teacher_forced": "teacher-forced",
    "copy_last": "copy-last",
    "forced_copy_last": "teacher-forced copy-last",
    "median": "median background",
    "majority": "majority class",
    "real": "real game",
    "world_over_real": "dream over real",
}
"""Heads of columns."""
EXPERIMENTS = {
    "action_effect": (
        "what actions do",
        "From the same moment of the game two actions are held for h steps, in the game and in the dream. Recall: of "
        "the pixels that differ in the game, those that differ in the dream; precision: the other way round. A world "
        "whose player vanishes has a low recall, however well it draws everything else.",
    ),
    "coverage": (
        "what the recording has seen",
        "A place is a token at a position of the frame. What training never saw cannot be dreamed.",
    ),
    "tokenizer": ("tokenizer", "Held-out frames, encoded and decoded."),
    "one_step": (
        "one step",
        "The next frame from the action and at least as many real frames as a context has. The argmax column takes one "
        "pass at temperature 0, the first the world's own sampling.",
    ),
    "dream": (
        "horizons",
        "Dreams of h steps from a context of real frames, with the actions that were really taken (recorded or "
        "inferred, whichever the dynamics learned from). Teacher-forced: every frame is predicted from real ones. "
        "Copy-last repeats the last frame of the context, teacher-forced copy-last the real frame before. Position "
        "errors are medians over clips whose sprite was there at the start and in which no point was scored since; a "
        "missing sprite counts as a whole picture's width away. A serve is random: what came after one is left out of "
        'rows "before a new serve".',
    ),
    "latent_actions": (
        "latent actions",
        "Agreement with the effects of the real actions over whole episodes. ΔPSNR: inferred against random codes.",
    ),
    "outcome": ("outcome", "Events read from real play, to within one frame."),
    "free_play": (
        "free play",
        "The same policy, random actions held for one to eight steps, in the dream and in the real game. A sprite "
        "obeys if it moves as the command says that has been held for two steps, where it has five pixels of room. A "
        "row repeats for as long as every frame is, to the pixel, the one some fixed number of steps before. The "
        "histogram counts each token at each place; a real row is compared with the other real rows.",
    ),
    "realism": (
        "recognised dreams",
        "The game is played by that policy; dreams get the same first frames and the same actions. A small network "
        "that learned on half of the rows says of clips of 16 frames of the other half, beginning h steps after the "
        "last real frame, whether they are dreamed: 0.5 is a guess. Second column: real rows against other real rows.",
    ),
    "speed": ("speed", "In a fresh process on this machine."),
    "temperature": ("quality against temperature", "Dreams of some of the held-out clips, and free play."),
    "decode_steps": ("quality against decode steps", "Dreams of some of the held-out clips, and free play."),
    "action_diversity": (
        "quality against action diversity",
        "Free play in which each step's action is replaced, with this probability, by one of the least used recent "
        "ones.",
    ),
}
"""Title and explanation of each experiment's table."""


class Pictures(NamedTuple):
    """What the report shows. The clips' frame 0 is the last real one; dreams go on from it by themselves."""

    real_CTHWC: np.ndarray
    dream_CTHWC: np.ndarray
    horizons: tuple[int, ...]
    long_dream_THWC: np.ndarray
    fps: float


def comparison_table(measurements: Sequence[Measurement]) -> str:
    """Markdown with a row for each measured value and a column for each source, or each value of a setting."""
    rows: dict[tuple[Any, ...], dict[str, str]] = {}
    labels: dict[tuple[Any, ...], str] = {}
    for one in measurements:
        key = (one.metric, one.subset, one.sprite, one.horizon)
        labels.setdefault(key, one.label_with_horizon)
        rows.setdefault(key, {})[_column(one)] = str(one.interval)
    kinds = [*dict.fromkeys(key[:-1] for key in rows)]
    columns = [*dict.fromkeys(map(_column, measurements))]
    ordered = sorted(rows, key=lambda key: (kinds.index(key[:-1]), key[-1] or 0))
    return markdown_table(
        ["measured", *columns], [[labels[key], *(rows[key].get(name, "") for name in columns)] for key in ordered]
    )


def write_report(
    folder: Path,
    world: str,
    measurements: Sequence[Measurement],
    settings: dict[str, Any],
    notes: Sequence[str],
    pictures: Pictures,
    plots: Sequence[str] = (),
) -> None:
    """Write ``metrics.json``, ``report.md`` and the pictures; files of an earlier report are replaced.

    Args:
        folder: where to write.
        world: its name.
        measurements: each with one of :data:`EXPERIMENTS`.
        settings: how they were made, JSON-plain.
        notes: sentences for the head of the report.
        pictures: frames to show.
        plots: names of pictures that already lie in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = _write_pictures(folder, pictures)
    lines = [
        f"# {world}",
        "",
        "Measured by `python -m training.evaluate` on held-out episodes; 95 % bootstrap intervals in brackets.",
        "",
        *(f"- {note}" for note in notes),
        "",
        *(line for name in plots for line in (f"![{name}]({name})", "")),
    ]
    for experiment in dict.fromkeys(one.experiment for one in measurements):
        title, about = EXPERIMENTS[experiment]
        lines += [f"## {title}", "", about, "", comparison_table(select(measurements, experiment=experiment))]
    lines += [
        "## Pictures",
        "",
        f"Strips: real above, dreamed below, from the last real frame on, after {_listed(pictures.horizons)} steps. "
        "Moving: real on the left, dreamed on the right, between the steps in the file's name; and the end of a long "
        "dream.",
        "",
        *(f"![{name}]({name})" for name in names),
        "",
        "## Settings",
        "",
        *(f"- {name}: `{value}`" for name, value in settings.items()),
    ]
    write_text(folder / "report.md", "\n".join(lines) + "\n")
    write_json(folder / "metrics.json", [one.row() for one in measurements])


def _column(one: Measurement) -> str:
    if one.setting is not None:
        return f"{one.experiment.replace('_', ' ')} {one.setting:g}"
    return SOURCES.get(one.source, one.source)


def _write_pictures(folder: Path, pictures: Pictures) -> list[str]:
    names = []
    at = [0, *pictures.horizons]
    for index, pair in enumerate(zip(pictures.real_CTHWC, pictures.dream_CTHWC, strict=True)):
        names.append(f"strip_{index}.png")
        strip = grid([[frames_THWC[t] for t in at] for frames_THWC in pair], gap=1)
        write_png(folder / names[-1], upscale(strip, SCALE))
    pairs = zip(pictures.real_CTHWC.swapaxes(0, 1), pictures.dream_CTHWC.swapaxes(0, 1), strict=True)
    beside = [grid(zip(*pair, strict=True), gap=1) for pair in pairs]
    stops = sorted(pictures.horizons)[-3:]
    for start, stop in zip([0, *stops], stops, strict=False):
        names.append(f"real_beside_dream_{start}_to_{stop}.gif")
        write_gif(folder / names[-1], beside[start : stop + 1], pictures.fps, SCALE)
    write_gif(folder / "long_dream.gif", pictures.long_dream_THWC[-GIF_FRAMES:], pictures.fps, SCALE)
    return [*names, "long_dream.gif"]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(n) for n in numbers[:-1]) + f" and {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
