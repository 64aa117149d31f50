"""Pictures of where dreams leave the recording: how often by event and cause, and the frames around it.

Owns how they look. Decides nothing about what leaving is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.evaluation.attention_pictures import mark
from training.evaluation.held_out import Clips, HeldOutPlay
from training.evaluation.leaving import Cause, Departed, Leaving
from training.evaluation.plots import COLOURS

INCH = 1.1
EARLIER, LATER = 3, 3
"""Frames drawn before and after the one in which a dream leaves."""
EVENTS, EXAMPLES = 3, 2
"""Events of which strips are drawn, the most frequent ones, and strips of each."""


def plot_causes(path: Path, departed: Departed) -> None:
    """Bars of the leaving frames by event and by kind of mistake, each divided by cause."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels: tuple[tuple[str, Callable[[Leaving], str]], ...] = (
        ("what happened", lambda one: one.event),
        ("kind of mistake", lambda one: one.kind),
    )
    for axes, (title, of) in zip(figure.subplots(1, 2), panels, strict=True):
        names = by_frequency(departed.found, of)[::-1]
        left = np.zeros(len(names))
        for cause, colour in zip(Cause, COLOURS, strict=False):
            counts = Counter(of(one) for one in departed.found if one.cause == cause)
            widths = np.array([counts[name] for name in names])
            axes.barh(names, widths, left=left, color=colour, label=cause.value)
            left += widths
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(f"dreams that leave there, of {len(departed.step_C)}", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3, axis="x")
    if departed.found:
        figure.axes[0].legend(fontsize=7, title="by other play of the recording", title_fontsize=7)
    figure.savefig(path, dpi=100)


def by_frequency(found: Sequence[Leaving], of: Callable[[Leaving], str]) -> list[str]:
    """Names that ``of`` gives, the most frequent first."""
    return [name for name, _ in Counter(map(of, found)).most_common()]


def draw_strips(
    path: Path, play: HeldOutPlay, clips: Clips, dreamed_CHN: torch.Tensor, found: Sequence[Leaving]
) -> None:
    """Frames around some leavings at the most frequent events: real above, dreamed below, wrong places framed."""
    examples = [
        one
        for event in by_frequency(found, lambda one: one.event)[:EVENTS]
        for one in [one for one in found if one.event == event][:EXAMPLES]
    ]
    steps = EARLIER + 1 + LATER
    figure = Figure(figsize=(INCH * steps + 0.6, 2 * INCH * max(1, len(examples)) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2 * max(1, len(examples)), steps, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    tokens_CTN = torch.cat([clips.tokens_CTN[:, : clips.context], dreamed_CHN], dim=1)
    side = play.world.config.dynamics.side
    for index, one in enumerate(examples):
        times = clips.context + one.step + np.arange(-EARLIER, LATER + 1)
        times = times[times < tokens_CTN.shape[1]]
        real = clips.frames_CTHWC[one.clip, times]
        dream = play.world.decode(tokens_CTN[one.clip, times][None])[0].cpu().numpy()
        wrong = (tokens_CTN[one.clip, times] != clips.tokens_CTN[one.clip, times]).numpy()
        top, bottom = grid[2 * index], grid[2 * index + 1]
        top[0].set_ylabel(f"{one.event}\nreal", fontsize=6)
        bottom[0].set_ylabel(f"{one.cause.value}\ndream", fontsize=6)
        for column, t in enumerate(times):
            top[column].imshow(real[column])
            bottom[column].imshow(dream[column])
            top[column].set_title(f"{t - clips.context + 1}", fontsize=6)
            for place in np.flatnonzero(wrong[column]):
                mark(bottom[column], int(place), side, dream.shape[1])
    figure.suptitle("Frames around the first that is wrong (fourth column), by step of the dream", fontsize=8)
    figure.savefig(path, dpi=110)
