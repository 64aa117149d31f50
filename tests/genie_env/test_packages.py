"""A ``training`` or ``agents`` of somebody else is named, with its owner and the remedy, before it does harm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genie_env.cli import main
from genie_env.packages import OURS, check_package
from tests.helpers.paths import ROOT


def run(words: list[str], *paths: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run([sys.executable, *words], env=env, cwd=cwd, capture_output=True, text=True, check=False)


def install(folder: Path, project: str, package: str, text: str = "from .thing import nothing\n") -> None:
    """What installing another distribution into a folder leaves there."""
    about = folder / f"{project}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n")
    (about / "RECORD").write_text(f"{package}/__init__.py,,\n")
    (folder / package).mkdir(exist_ok=True)
    (folder / package / "__init__.py").write_text(text)


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_packages_are_known_by_what_they_say_of_themselves(name: str) -> None:
    assert (ROOT / name / "__init__.py").read_text() == f'"""{OURS[name]}"""\n'
    check_package(name)


def test_other_packages_are_not_looked_at() -> None:
    check_package("no_such_package")


@pytest.mark.parametrize(("package", "command"), [("agents", "agents.transfer"), ("training", "training.record")])
def test_a_hidden_package_is_one_line_that_names_its_owner(tmp_path: Path, package: str, command: str) -> None:
    install(tmp_path / "site", "others-thing", package)
    code = f"import sys; from genie_env.cli import main; sys.exit(main(['{command}', '--help']))"
    done = run(["-c", code], tmp_path / "site", ROOT, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout
    for part in (f"the package '{package}'", "others-thing", str(tmp_path / "site" / package), "uninstall"):
        assert part in done.stderr


def test_an_overwritten_package_is_noticed_by_its_own_commands(tmp_path: Path) -> None:
    """Two distributions in one folder: our modules are there, the package's first file is not ours."""
    for name in ("genie_env", "agents"):
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / name, tmp_path / "site" / name, ignore=ignored)
    install(tmp_path / "site", "others-thing", "agents", "VERSION = 1\n")
    done = run(["-P", "-m", "agents.dream_vs_real", "runs/none"], tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "the package 'agents' is another one of others-thing" in done.stderr


def test_a_command_of_training_runs_through_genie_env_beside_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    code = "import sys; from genie_env.cli import main; sys.exit(main(['training.join', '--help']))"
    done = run(["-P", "-c", code], ROOT, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("usage: training.join"), done.stderr


def test_an_unknown_command_of_training_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["training.no_such", "--help"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "training.no_such" in error
