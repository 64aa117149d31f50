"""Records of measured values: flat, read back as they were written, and labelled in one place."""

from __future__ import annotations

import json
import math

import pytest

from genie_env.measurement import (
    Measurement,
    Metric,
    Subset,
    pick,
    select,
    stored_measurements,
    tables,
    with_fields,
)
from genie_env.statistics import Interval

ERROR = Measurement.of(Metric.POSITION_ERROR, Interval(1.5, 1.0, 2.0, 9), horizon=5, sprite="ball", experiment="dream")


def test_a_label_names_metric_sprite_subset_unit_and_horizon() -> None:
    assert ERROR.label == "ball error, px" and ERROR.label_with_horizon == "ball error, px, h = 5"
    f1 = Measurement.of(Metric.EXISTENCE_F1, 0.5, sprite="puck", subset=Subset.BEFORE_SERVE)
    assert f1.label_with_horizon == "puck existence F1, before a new serve"
    nmi = Measurement.of(Metric.NMI, 0.5, sprite="own", subset=Subset.ROOM_TO_MOVE)
    assert nmi.label == "NMI, own has room"


def test_every_metric_has_a_label_of_its_own() -> None:
    labels = [Measurement.of(metric, 0.0, sprite="ball").label for metric in Metric]
    assert all(labels) and len(set(labels)) == len(labels)


def test_unknown_names_from_a_file_are_printed_and_no_template() -> None:
    foreign = Measurement("{sprite.__class__}_score", 1.0, subset="{0}")
    assert foreign.label == "{sprite.  class  } score, {0}"


@pytest.mark.parametrize(
    "one", [ERROR, Measurement.of(Metric.PSNR, 0.0), Measurement.of(Metric.NEAR, 0.5, setting=0.0)]
)
def test_a_record_is_read_back_as_it_was_written(one: Measurement) -> None:
    assert str(Measurement.from_json(json.loads(json.dumps(one.to_json())))) == str(one)


def test_a_row_has_every_field_and_null_for_nan() -> None:
    rows = [ERROR.row(), Measurement.of(Metric.PSNR, math.nan).row()]
    assert rows[0].keys() == rows[1].keys()
    assert json.loads(json.dumps(rows[1], allow_nan=False))["value"] is None


def test_picking_asks_for_exactly_one() -> None:
    later = with_fields([ERROR], horizon=10)
    assert pick([ERROR, *later], Metric.POSITION_ERROR, horizon=10) == later[0]
    assert select([ERROR, *later], sprite="ball") == [ERROR, *later]
    for found in ([ERROR, *later], []):
        with pytest.raises(KeyError, match="expected one measurement of position_error"):
            pick(found, Metric.POSITION_ERROR)


def test_tables_have_a_column_for_each_horizon_where_there_are_many() -> None:
    other = Measurement.of(Metric.PSNR, 40.0, experiment="tokenizer")
    found = list(tables([other, ERROR, *with_fields([ERROR], horizon=10, value=2.0)]))
    assert found == [
        ("tokenizer", ["measured", "value"], [["PSNR, dB", "40.0"]]),
        ("dream", ["measured", "h = 5", "h = 10"], [["ball error, px", "1.500", "2.000"]]),
    ]


def test_bundles_without_records_have_none_and_others_are_checked() -> None:
    assert stored_measurements({"dream": {"obedience": 0.9}}) == []
    assert stored_measurements({"measurements": [ERROR.to_json()]}) == [ERROR]
    for wrong in ({"x": 1}, [1], [{"metric": "psnr"}], [{"metric": "psnr", "value": "1"}]):
        with pytest.raises(ValueError, match="easurement"):
            stored_measurements({"measurements": wrong})
