"""The wheel and the sdist hold everything that is needed and nothing else, and work away from the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest

import genie_env
from tests.helpers.paths import ROOT

PACKAGES = ("genie_env", "training", "agents")
FILES = ("pyproject.toml", "README.md", "LICENSE", "LICENSES.md")


class Built(NamedTuple):
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Built:
    """The sdist, and the wheel that is built from it; made from a copy, so that nothing appears in the source tree."""
    pytest.importorskip("build")
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Deprecat" not in done.stdout + done.stderr
    return Built(next(dist.glob("*.whl")), next(dist.glob("*.tar.gz")))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel; what it depends on is found where the tests find it."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(built.wheel)]
    subprocess.run(command, capture_output=True, check=True)
    return site


def run(site: Path, words: list[str], cwd: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(words, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def source_files() -> set[str]:
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


def test_the_wheel_holds_the_three_packages_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licences = {Path(name).name for name in wheel.namelist() if "/licenses/" in name}
    assert names == source_files() and licences == {"LICENSE", "LICENSES.md"}


def test_the_sdist_holds_what_the_wheel_is_built_from(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert source_files() | set(FILES) <= names


def test_descriptions_are_such_as_the_index_accepts(built: Built) -> None:
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_one_version_everywhere(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        about = Parser().parsestr(wheel.read(next(n for n in wheel.namelist() if n.endswith("/METADATA"))).decode())
    cited = next(line for line in (ROOT / "CITATION.cff").read_text().splitlines() if line.startswith("version:"))
    assert {about["Version"], genie_env.__version__, cited.split()[1]} == {about["Version"]}
    minors = [kind.rpartition(" ")[2] for kind in about.get_all("Classifier", []) if "Python :: 3." in kind]
    assert minors == ["3.11", "3.12", "3.13"] and about["Requires-Python"] == ">=3.11"


def test_every_requirement_is_pinned() -> None:
    """Or an install would bring another torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    names = {requirement.partition(">=")[0].partition("[")[0].lower() for requirement in wanted}
    assert names - pinned == {"genie-env"}


def test_the_installed_wheel_dreams_and_runs_commands_in_another_folder(installed: Path, tmp_path: Path) -> None:
    code = (
        "import pathlib, gymnasium as gym, genie_env, training, agents\n"
        "for package in (genie_env, training, agents): print(pathlib.Path(package.__file__).parent.parent)\n"
        "env = gym.make('Genie/Breakout-v0'); env.reset(seed=0); print(env.step(0)[0].shape)"
    )
    out = run(installed, [sys.executable, "-P", "-c", code], tmp_path).splitlines()
    assert out == [str(installed)] * 3 + ["(64, 64, 3)"]
    program = str(installed / "bin" / "genie-env")
    assert "World pong" in run(installed, [sys.executable, "-P", program, "info"], tmp_path)
    assert "usage: training.record" in run(
        installed, [sys.executable, "-P", program, "training.record", "-h"], tmp_path
    )
    run(installed, [sys.executable, "-P", program, "rollout", "--steps", "5", "--out", "out"], tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"rollout.png", "rollout.gif"}
