"""Measured values as flat records, and what they are called in print.

A list of records is a table: ``pandas.DataFrame(json.load(open("metrics.json")))``. Owns the names of metrics and
their labels for people; a label is made when it is printed and never read back. Knows nothing about how anything is
measured.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from genie_env.files.json_config import JsonConfig
from genie_env.statistics import Interval

MEASUREMENTS = "measurements"
"""Name of the list of records among a bundle's ``metrics``."""
WORLD = "world"
"""Source of what the world itself did; every other source is something to compare it with."""


class _Named(StrEnum):
    """A name for data with a label for people, which may contain ``{sprite}``, and a unit."""

    label: str
    unit: str

    def __new__(cls, name: str, label: str = "", unit: str = "") -> Self:
        member = str.__new__(cls, name)
        member._value_, member.label, member.unit = name, label or name.replace("_", " "), unit
        return member


class Metric(_Named):
    """What can be measured."""

    TOKEN_ACCURACY = "token_accuracy"
    CHANGED_TOKEN_ACCURACY = "changed_token_accuracy", "changed-token accuracy"
    """Share of the tokens that had to change and are right."""
    CHANGED_TOKEN_ACCURACY_DIFFERENCE = (
        "changed_token_accuracy_difference",
        "changed-token accuracy minus the baseline's",
    )
    RELATIVE_CHANGED_TOKEN_ACCURACY = (
        "relative_changed_token_accuracy",
        "changed-token accuracy, relative to the first h",
    )
    PSNR = "psnr", "PSNR", "dB"
    FOREGROUND_PSNR = "foreground_psnr", "foreground PSNR", "dB"
    """PSNR of the pixels that differ from the median background."""
    MSE = "mse", "MSE of [-1, 1]"
    SSIM = "ssim", "SSIM"
    HIGH_FREQUENCIES = "high_frequencies", "power at high spatial frequencies, parts of the real frames'"
    """Of the difference to the median background, above a quarter of a cycle per pixel. Less than 1: blurred; more:
    edges or noise that are not there."""
    EXACT_FRAMES = "exact_frames", "frames exact"
    PIXELS_KEPT = "pixels_kept", "{sprite} pixels kept"
    TOKEN_FLIPS = "token_flips", "tokens that flip on an unchanged patch"
    """Share of the patches that look the same in two consecutive frames and have another token all the same."""
    TOKENS_IN_USE = "tokens_in_use"
    VOCABULARY_SHARE = "vocabulary_share", "tokens in use, share of the vocabulary"
    TOKEN_PERPLEXITY = "token_perplexity", "tokens in use, perplexity"
    TOKEN_HISTOGRAM_DISTANCE = "token_histogram_distance", "token histogram, distance to real play"
    """Total variation distance of the tokens at each place to those of other real play."""
    POSITION_ERROR = "position_error", "{sprite} error", "px"
    POSITION_ERROR_DIFFERENCE = "position_error_difference", "{sprite} error minus the baseline's", "px"
    NEAR = "near", "{sprite} within 2 px"
    NEAR_DIFFERENCE = "near_difference", "{sprite} within 2 px minus the baseline's"
    EXISTENCE_F1 = "existence_f1", "{sprite} existence F1"
    PRESENT = "present", "{sprite} present"
    EXACTLY_ONE = "exactly_one", "exactly one {sprite}, where any"
    OBEYS = "obeys", "{sprite} obeys"
    """Share of the held commands after which the sprite moved as commanded."""
    CODES_OBEYED = "codes_obeyed", "codes obeyed in the dream"
    """Share of steps in which a latent action did what its prototype says, whatever was pressed before."""
    EFFECT_RECALL = "effect_recall", "effect of actions, recall"
    """Share of the pixels that two actions make differ in the game which also differ in the dream."""
    EFFECT_PRECISION = "effect_precision", "effect of actions, precision"
    """Share of the pixels that two actions make differ in the dream which also differ in the game."""
    DECIDED_TOKEN_ACCURACY = "decided_token_accuracy", "accuracy on the tokens that actions decide"
    """Share of right tokens among those that two actions make differ in the game."""
    PLACES_SEEN = "places_seen", "places of held-out play seen in training"
    """Share of the distinct tokens by position in held-out play that the training episodes have."""
    FRAMES_SEEN = "frames_seen", "held-out frames whose every place was seen in training"
    RARE_PLACES = "rare_places", "places of held-out play in fewer than one of 1,000 training frames"
    HUNGARIAN_ACCURACY = "hungarian_accuracy", "Hungarian accuracy"
    NMI = "nmi", "NMI"
    CODE_SHARE = "code_share", "share of transitions"
    CODE_PERPLEXITY = "code_perplexity", "codes in use, perplexity"
    DECODER_DELTA_PSNR = "decoder_delta_psnr", "ΔPSNR of the decoder", "dB"
    """PSNR of the latent action model's decoder with inferred codes minus PSNR with random ones."""
    DREAM_DELTA_PSNR = "dream_delta_psnr", "ΔPSNR of the dream", "dB"
    """PSNR of a dream with inferred actions minus PSNR with random ones (Genie, arXiv 2402.15391)."""
    REWARD_F1 = "reward_f1", "reward F1"
    TERMINATION_F1 = "termination_f1", "termination F1"
    POINTS = "points", "", "per 1000 steps"
    POINTS_WON = "points_won", "", "per 1000 steps"
    POINTS_LOST = "points_lost", "", "per 1000 steps"
    LONGEST_STILL = "longest_still", "longest still stretch", "steps"
    LONGEST_REPEAT = "longest_repeat", "longest repeat of any period", "steps"
    REPEATING_ROWS = "repeating_rows", "rows frozen or looping for more than 60 steps"
    TOLD_FROM_REAL = "told_from_real", "clips of 16 frames that a classifier tells from the game's"
    """Share of dreamed and real clips, as many of each, that a small network calls rightly; 0.5: it cannot tell."""
    LOG_PROB = "log_prob", "log-probability of a dreamed frame", "nats"
    """Under the dynamics that dreamed it, its tokens in one pass."""
    FRAME_COST = "frame_cost", "processor time of a frame of a row", "ms"
    NATS = "nats", "held-out play, nats a frame"
    """Negative log-likelihood of the next real frame's tokens in one pass."""
    NATS_DIFFERENCE = "nats_difference", "nats a frame minus those of one network or fine-tune"
    UNCERTAINTY_AUROC = "uncertainty_auroc", "departure ahead: AUROC of disagreement"
    """Chance that a dreamed frame which leaves the recording soon has the higher signal than one that does not."""
    ENTROPY_AUROC = "entropy_auroc", "departure ahead: AUROC of token entropy"
    AUROC_GAIN = "auroc_gain", "departure ahead: AUROC of disagreement minus that of token entropy"
    UNCERTAINTY_RANK = "uncertainty_rank", "wrong tokens ahead: rank correlation of disagreement"
    ENTROPY_RANK = "entropy_rank", "wrong tokens ahead: rank correlation of token entropy"
    PARAMETERS = "parameters"
    IMPORT_TIME = "import_time", "import genie_env", "s"
    START_TIME = "start_time", "gym.make and reset in a fresh process", "s"
    STEP_RATE = "step_rate", "environment steps, one row with pictures", "per second"
    BUSY_CORES = "busy_cores", "cores kept busy by others"
    UPDATES = "updates"


class Subset(_Named):
    """What a value rests on, where it is not everything."""

    BEFORE_SERVE = "before_serve", "before a new serve"
    """Frames before a new, random serve of the tracked sprite."""
    ROOM_TO_MOVE = "room_to_move", "{sprite} has room"
    """Transitions in which the sprite is not at a wall."""
    FOREGROUND = "foreground"
    WHOLE_PICTURE = "whole_picture"
    MOVING_PIXELS = "moving_pixels"
    WORST_ROW = "worst_row"


@dataclass(frozen=True)
class Measurement(JsonConfig):
    """One measured value with its 95 % interval and everything that tells it from others."""

    metric: str
    """One of :class:`Metric`."""
    value: float
    """NaN where there was nothing to measure."""
    low: float = math.nan
    high: float = math.nan
    count: int = 0
    """Independent rows it rests on (0: not counted)."""
    horizon: int | None = None
    """Steps since the last real frame."""
    subset: str = ""
    """One of :class:`Subset`; empty: all rows."""
    unit: str = ""
    source: str = WORLD
    """What did it: the world or something to compare it with."""
    experiment: str = ""
    """What was done: ``tokenizer``, ``dream``, ``free_play`` …"""
    sprite: str = ""
    """The sprite it is about."""
    setting: float | None = None
    """Value of the setting that the experiment varies."""

    @classmethod
    def of(cls, metric: Metric, found: Interval | float, **fields: Any) -> Measurement:
        """A record with the metric's unit, of an interval or of a plain number."""
        interval = found if isinstance(found, Interval) else Interval(float(found))
        return cls(metric.value, *interval, unit=metric.unit, **fields)

    @property
    def interval(self) -> Interval:
        """The value with its interval."""
        return Interval(self.value, self.low, self.high, self.count)

    @property
    def label(self) -> str:
        """Name for people, whatever the horizon: ``ball error, px``."""
        parts = (_label(Metric, self.metric, self.sprite), _label(Subset, self.subset, self.sprite), self.unit)
        return ", ".join(part for part in parts if part)

    @property
    def label_with_horizon(self) -> str:
        """Name for people: ``ball error, px, h = 10``."""
        return self.label if self.horizon is None else f"{self.label}, h = {self.horizon}"

    def row(self) -> dict[str, Any]:
        """All fields as plain JSON; NaN becomes null."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in dataclasses.asdict(self).items()}

    def to_json(self) -> dict[str, Any]:
        """Metric, value, and the fields that differ from their defaults."""
        usual = Measurement("", math.nan).row()
        return {k: v for k, v in self.row().items() if k in ("metric", "value") or v != usual[k]}


def with_fields(measurements: Iterable[Measurement], **fields: Any) -> list[Measurement]:
    """The same records with some fields replaced."""
    return [dataclasses.replace(one, **fields) for one in measurements]


def select(measurements: Iterable[Measurement], **fields: Any) -> list[Measurement]:
    """The records whose fields have these values."""
    return [one for one in measurements if all(getattr(one, name) == value for name, value in fields.items())]


def pick(measurements: Iterable[Measurement], metric: str, **fields: Any) -> Measurement:
    """The one record of a metric whose fields have these values.

    Raises:
        KeyError: if there is none, or more than one.
    """
    found = select(measurements, metric=metric, **fields)
    if len(found) != 1:
        raise KeyError(f"expected one measurement of {metric} with {fields}, got {len(found)}")
    return found[0]


def stored_measurements(metrics: Mapping[str, Any]) -> list[Measurement]:
    """The records in a bundle's ``metrics``; none in worlds that were measured before there were records.

    Raises:
        ValueError: if they are no records.
    """
    rows = metrics.get(MEASUREMENTS, [])
    if not isinstance(rows, list):
        raise ValueError(f"metrics.{MEASUREMENTS}: expected a list of records, got {type(rows).__name__}")
    return [Measurement.from_json(row) for row in rows]


def tables(measurements: Sequence[Measurement]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of each experiment: a row for each label, a column for each horizon if there are many."""
    for experiment in dict.fromkeys(one.experiment for one in measurements):
        shown = select(measurements, experiment=experiment)
        horizons = sorted({one.horizon for one in shown if one.horizon is not None})
        if len(horizons) < 2:
            rows = [[one.label_with_horizon, str(Interval(one.value))] for one in shown]
            yield experiment.replace("_", " "), ["measured", "value"], rows
            continue
        cells: dict[str, dict[int | None, str]] = {}
        for one in shown:
            cells.setdefault(one.label, {})[one.horizon] = str(Interval(one.value))
        header = ["measured", *(f"h = {horizon}" for horizon in horizons)]
        rows = [[label, *(values.get(horizon, "") for horizon in horizons)] for label, values in cells.items()]
        yield experiment.replace("_", " "), header, rows


def _label(kind: type[_Named], name: str, sprite: str) -> str:
    known = next((one for one in kind if one == name), None)
    # A name that is not known, perhaps from a file, is printed as it is: braces in it are no template.
    return name.replace("_", " ") if known is None else known.label.format(sprite=sprite)
