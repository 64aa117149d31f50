"""The report of a run is written by its command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agents.dream_vs_real import DreamVsRealConfig, main


def test_the_command_writes_the_report_again_and_prints_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "dream_vs_real.md").unlink()
    main(DreamVsRealConfig(copy))
    assert capsys.readouterr().out.strip() == (copy / "dream_vs_real.md").read_text(encoding="utf-8").strip()
