"""Pictures come at even times, whatever the rate of the film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.films import scene, write_film
from training.sources.film import Damage, Moment, moments
from training.sources.rate import at_rate, small_picture


def at(times: list[float | None]) -> list[Moment | None]:
    return [None if t is None else Moment(t, SimpleNamespace(number=n)) for n, t in enumerate(times)]


def numbers(found) -> list[int | None]:
    *listed, end = [None if frame is None else frame.number for frame in found]
    return listed if end is None else [*listed, end]


def test_the_same_rate_keeps_every_picture_even_if_times_are_rounded() -> None:
    for scale in (1000, 90000, 600):
        times = [round(n * scale / 15) / scale for n in range(200)]
        assert numbers(at_rate(at(times), 15)) == list(range(200))


@pytest.mark.parametrize("rate", [30, 60, Fraction(30000, 1001)])
def test_a_faster_film_is_thinned_out_evenly(rate: float) -> None:
    every = round(rate / 15)
    found = numbers(at_rate(at([float(n / rate) for n in range(600)]), float(rate) / every))
    assert found == list(range(0, 600, every))


def test_a_variable_rate_becomes_even_and_a_picture_stays_as_long_as_it_was_shown() -> None:
    assert numbers(at_rate(at([0.0, 0.1, 0.5, 0.6]), 10)) == [0, 1, 1, 1, 1, 2, 3]


def test_after_a_gap_times_begin_again() -> None:
    assert numbers(at_rate(at([0.0, 0.1, None, 7.33, 7.43]), 10)) == [0, 1, None, 3, 4]


def test_a_stretch_begins_and_ends_where_it_is_asked_to() -> None:
    assert numbers(at_rate(at([n / 10 for n in range(50)]), 10, start_s=2.0, count=5)) == [20, 21, 22, 23, 24]


def test_a_small_picture_is_what_is_kept_of_the_large_one(tmp_path: Path) -> None:
    frames = scene(20, size=256)
    path = write_film(tmp_path / "a.mp4", frames, options={"crf": "4"}, pix_fmt="yuv444p")
    moment = next(m for m in moments(path, Damage()) if m is not None)
    for crop in ((0, 256, 0, 256), (64, 192, 32, 160), (16, 240, 0, 224)):
        top, bottom, left, right = crop
        kept = frames[0, top:bottom, left:right].astype(float)
        edge = (bottom - top) // 32
        wanted = kept.reshape(32, edge, 32, edge, 3).mean((1, 3))
        assert np.abs(small_picture(moment.frame, crop, 32) - wanted).mean() < 6
