"""A short soak: what a process holds does not grow with the steps it made."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.mark.skipif(sys.platform == "win32", reason="counts file descriptors")
def test_memory_and_open_files_do_not_grow_with_steps(random_world: Path) -> None:
    short = ["--world", str(random_world), "--rows", "8", "--warm-up", "1600", "--steps", "4000"]
    command = [sys.executable, "-W", "error", "-m", "tests.helpers.soak", *short, "--max-episode-steps", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "start: memory" in done.stdout and "4,000 steps at 8 rows" in done.stdout and "open files +0" in done.stdout
