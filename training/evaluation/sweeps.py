"""Quality against a setting: held-out dreams and free play under several ways to sample.

Owns which settings are tried on what. Knows nothing of command lines and of how play is judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genie_env.config import SamplingConfig
from genie_env.games.registry import Game
from genie_env.world import World
from training.evaluation.free_play import HISTOGRAM, LOOPING, POINTS
from training.evaluation.held_out import Clips, roll
from training.evaluation.measures import ACCURACY, FORESEEABLE, horizon_figures
from training.evaluation.plots import plot_setting
from training.evaluation.report import Figures, Section

MOST_CLIPS = 64
HORIZONS = (1, 10, 20)
SHOWN = (f"{ACCURACY}{FORESEEABLE}, h", "foreground PSNR", " error, px", f"F1{FORESEEABLE}", " present", "exactly one")
SHOWN += (POINTS, LOOPING, HISTOGRAM)
"""Figures that a sweep keeps, by what is in their names; all of them at every setting would be too much to read."""

FreePlay = Callable[..., Figures]
"""Plays the dream with the given options of the environment and judges what is seen."""


class Sweep(NamedTuple):
    """Figures at each value of one setting."""

    setting: str
    by_value: dict[float, Figures]
    about: str

    @property
    def section(self) -> Section:
        """As a table."""
        columns = {f"{self.setting} {value:g}": figures for value, figures in self.by_value.items()}
        return Section(f"quality against {self.setting}", self.about, columns)

    def plot(self, folder: Path) -> str:
        """Draw what varies into ``folder`` and return the file's name."""
        name = f"{self.setting.replace(' ', '_')}.png"
        rows = list(dict.fromkeys(row for figures in self.by_value.values() for row in figures))
        varied = [row for row in rows if len({figures[row].value for figures in self.by_value.values()}) > 1]
        plot_setting(folder / name, self.setting, self.by_value, varied or rows[:1])
        return name


def sampling_sweep(
    world: World, clips: Clips, game: Game, own: SamplingConfig, field: str, values: Sequence[Any], free: FreePlay
) -> Sweep:
    """Dreams of held-out clips, and free play, at each value of a field of ``own``."""
    steps = max(h for h in HORIZONS if h <= clips.scored_CH.shape[1])
    short, horizons = clips.pick(slice(MOST_CLIPS), steps), tuple(h for h in HORIZONS if h <= steps)
    by_value = {}
    for value in values:
        dreamed = roll(world, short, dataclasses.replace(own, **{field: value}))
        later = horizon_figures(world, short, dreamed, horizons, game.colours)
        by_value[value] = _shown({**later, **free(**{field: value})})
    return Sweep(
        field.replace("_", " "),
        by_value,
        f'Dreams of {len(short.tokens_CTN)} held-out clips, and free play, which "present" and all below it speak of.',
    )


def diversity_sweep(diversities: tuple[float, ...], free: FreePlay) -> Sweep:
    """Free play at each action diversity."""
    return Sweep(
        "action diversity",
        {value: _shown(free(action_diversity=value)) for value in diversities},
        "Free play in which each step's action is replaced, with this chance, by one of the least used of late.",
    )


def _shown(figures: Figures) -> Figures:
    return {name: figure for name, figure in figures.items() if any(part in name for part in SHOWN)}
