"""How one way of having a dynamics dreams, what it costs, and whether it knows where it goes wrong.

Knows worlds and clips; knows nothing of how anything was trained.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from genie_env.files.tensors import weights_of
from genie_env.measurement import Measurement, Metric, Subset, with_fields
from genie_env.statistics import difference, mean
from genie_env.world import World
from training.evaluation.diagnosis_inputs import parallel_pass
from training.evaluation.dreams import HorizonScores
from training.evaluation.foresight import Departures, ahead_correlation, auroc_gain, departure_auroc
from training.evaluation.held_out import Clips, HeldOutPlay, dream

SHOWN = {(Metric.CHANGED_TOKEN_ACCURACY, Subset.BEFORE_SERVE), (Metric.NEAR, "")}
"""Metrics and subsets of dreams that ways are compared by."""
TIMED_STEPS = 200


@dataclass(frozen=True)
class DreamFigures:
    """What was found of one training."""

    scores: HorizonScores
    nats_C: np.ndarray
    departures: Departures
    entropy_CH: np.ndarray
    uncertainty_CH: np.ndarray | None
    parameters: int
    milliseconds: float

    @classmethod
    def of(cls, world: World, play: HeldOutPlay, clips: Clips, horizons: tuple[int, ...]) -> DreamFigures:
        """Dream from clips with a world, as ``play`` reads them, and compare with what came."""
        dreamed = dream(world, clips, world.config.sampling)
        uncertainty = dreamed.uncertainty_BT
        return cls(
            HorizonScores.of(replace(play, world=world), clips, horizons, dreamed.tokens_BTN),
            parallel_pass(world.dynamics, clips).nats_C,
            Departures.of(clips, dreamed.tokens_BTN),
            dreamed.entropy_BT.numpy(),
            None if uncertainty is None else uncertainty.numpy(),
            sum(tensor.numel() for tensor in weights_of(world.dynamics).values()),
            _milliseconds(world),
        )


def _milliseconds(world: World) -> float:
    """Processor time of a step of one row, the median of many."""
    engine, times = world.engine(), []
    state = engine.start(world.starts.tokens_SPN[:1], world.starts.actions_SP[:1], torch.zeros(1, dtype=torch.long))
    actions_B = torch.zeros(1, dtype=torch.long, device=world.device)
    for _ in range(TIMED_STEPS):
        begin = time.process_time()
        engine.step(state, actions_B)
        times.append(time.process_time() - begin)
    return 1000 * float(np.median(times))


def measure_ways(
    found: Mapping[str, list[DreamFigures]], updates: Mapping[str, int], compared: Mapping[str, str]
) -> list[Measurement]:
    """Values over all seeds; intervals draw clips.

    Args:
        found: of each way, for each seed.
        updates: that each way was trained for, if it was.
        compared: ways, each with the one that it is compared with.
    """
    nats = {way: np.stack([one.nats_C for one in each], axis=1) for way, each in found.items()}
    measurements: list[Measurement] = []
    for way, each in found.items():
        scores, departures = HorizonScores.repeated([one.scores for one in each]), [one.departures for one in each]
        shown = [m for m in scores.measure() if (m.metric, m.subset) in SHOWN and m.sprite in ("", scores.tracked)]
        entropies = [one.entropy_CH for one in each]
        measured = [
            Measurement.of(Metric.UPDATES, updates.get(way, 0)),
            Measurement.of(Metric.PARAMETERS, each[0].parameters),
            Measurement.of(Metric.FRAME_COST, float(np.median([one.milliseconds for one in each]))),
            Measurement.of(Metric.NATS, mean(nats[way])),
            *shown,
            Measurement.of(Metric.ENTROPY_AUROC, departure_auroc(entropies, departures)),
            Measurement.of(Metric.ENTROPY_RANK, ahead_correlation(entropies, departures)),
        ]
        if way in compared:
            ours, theirs, whole = nats[way], nats[compared[way]], np.ones_like(nats[way])
            measured.append(Measurement.of(Metric.NATS_DIFFERENCE, difference(ours, whole, theirs, whole)))
        signals = [one.uncertainty_CH for one in each if one.uncertainty_CH is not None]
        if signals:
            measured += [
                Measurement.of(Metric.UNCERTAINTY_AUROC, departure_auroc(signals, departures)),
                Measurement.of(Metric.AUROC_GAIN, auroc_gain(signals, entropies, departures)),
                Measurement.of(Metric.UNCERTAINTY_RANK, ahead_correlation(signals, departures)),
            ]
        measurements += with_fields(measured, source=way)
    return measurements
