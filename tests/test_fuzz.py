"""Damaged folders of every kind are refused in one line that names them, or work; thousands: ``tests.helpers.fuzz``."""

from __future__ import annotations

import sys

import pytest

from tests.helpers.fuzz import FuzzConfig, fuzz
from tests.helpers.specimens import SPECIMENS

EACH = 60


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", SPECIMENS)
def test_damaged_folder_is_refused_by_name_or_works_within_its_memory(what: str) -> None:
    verdicts = set()
    for index, damage, result in fuzz(FuzzConfig(what, EACH, seed=1)):
        assert result.verdict not in ("untyped", "memory"), f"{what} {index}: {damage}\n{result.detail}"
        assert "no answer" not in result.detail, f"{what} {index}: {damage}"
        verdicts.add(result.verdict)
    assert {"refused", "used"} <= verdicts
