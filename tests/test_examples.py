"""Every example runs in its short form."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

EXAMPLES = ROOT / "examples"
SHORT = {
    "random_dream.py": ["--steps", "20"],
    "look_ahead.py": ["--steps", "2", "--depth", "2"],
    "remote_dream.py": ["--rows", "2", "--steps", "20"],
    "play_and_record.py": ["--steps", "30"],
    # The loop of 2,000 steps without a warning that the environment promises to serve.
    "train_ppo.py": ["--steps", "128", "--rows", "8"],
    "cleanrl_ppo.py": ["--steps", "2048", "--rows", "16", "--epochs", "1"],
}


def test_every_example_has_a_short_form() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SHORT)


@pytest.mark.parametrize("name", sorted(SHORT))
def test_example_runs(name: str, random_world: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), "--world", str(random_world), *SHORT[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "steps" in done.stdout
