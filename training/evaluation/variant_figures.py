"""Dreams and free play of dynamics that were trained in several ways, and the ways compared.

Knows worlds and clips; knows nothing of how anything was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import nn

from genie_env.bundle import save_world
from genie_env.measurement import Measurement, Metric, Subset, select, with_fields
from genie_env.world import World
from training.evaluation.dreams import HorizonScores
from training.evaluation.free_play import FREE_PLAY, measure_play, play_dream
from training.evaluation.held_out import Clips, HeldOutPlay, predict

SHOWN = {
    (Metric.CHANGED_TOKEN_ACCURACY, Subset.BEFORE_SERVE),
    (Metric.POSITION_ERROR, ""),
    (Metric.NEAR, ""),
}
"""Metrics and subsets of dreams that variants are compared by."""


class VariantFigures:
    """What was found of each variant so far, under each of its seeds."""

    def __init__(
        self, world: World, play: HeldOutPlay, clips: Clips, horizons: tuple[int, ...], play_size: tuple[int, int]
    ) -> None:
        """Know nothing yet.

        Args:
            world: lends its other networks; it gets the dynamics of each variant in turn.
            play: held-out play, as the world reads it.
            clips: that are dreamed from.
            horizons: steps after which a dream is compared with what really came.
            play_size: rows and steps of free play.
        """
        self._world, self._play, self._clips, self._horizons = world, play, clips, horizons
        self._rows, self._steps = play_size
        self._dreams: dict[str, list[HorizonScores]] = {}
        self._free: dict[str, list[list[Measurement]]] = {}

    def add(self, name: str, dynamics: nn.Module, folder: Path) -> None:
        """Dream and play with a dynamics; ``folder`` becomes a bundle that can be played."""
        world, play = self._world, self._play
        world.dynamics.load_state_dict(dynamics.state_dict())
        save_world(world, folder, replace=True)
        dreamed_CHN = predict(world, self._clips, world.config.sampling)
        scores = HorizonScores.of(play, self._clips, self._horizons, dreamed_CHN)
        self._dreams.setdefault(name, []).append(scores)
        free = play_dream(str(folder), self._rows, self._steps, 0, None, device=str(world.device))
        measured = select(measure_play(free, play.game, {}), sprite=play.game.tracked)
        self._free.setdefault(name, []).append(with_fields(measured, experiment=FREE_PLAY))

    def measure(self, updates: Mapping[str, int], baseline: str) -> list[Measurement]:
        """Values over all seeds; intervals of dreams draw clips, those of free play are the lowest and highest seed.

        Args:
            updates: that each variant was trained for.
            baseline: variant that all others are compared with, in pairs.
        """
        compared_with, found = HorizonScores.repeated(self._dreams[baseline]), list[Measurement]()
        for name, parts in self._dreams.items():
            # What has no seeds, the parent, stands beside each seed of the others.
            scores = HorizonScores.repeated(parts * (len(self._dreams[baseline]) // len(parts)))
            shown = [m for m in scores.measure() if (m.metric, m.subset) in SHOWN and m.sprite in ("", scores.tracked)]
            measured = [Measurement.of(Metric.UPDATES, updates[name]), *shown]
            for seeds in zip(*self._free[name], strict=True):
                values = [one.value for one in seeds]
                spread = {"value": float(np.mean(values)), "low": min(values), "high": max(values)}
                measured += with_fields(seeds[:1], count=len(values), **spread)
            if name != baseline:
                measured += scores.measure_against(compared_with)
            found += with_fields(measured, source=name)
        return found
