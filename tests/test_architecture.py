"""The structure of the project: which room may import which, and what no file may ever call."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PACKAGES = ("genie_env", "training", "agents")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "genie_env": (
        ("frames", "statistics", "tables", "packages"),
        ("files",),
        ("hub",),
        ("config", "measurement"),
        ("nn", "games", "data", "action_map", "effect_names", "policies"),
        ("models",),
        ("rollout",),
        # A world saves and publishes itself, and its card shows a dream of it.
        ("world", "bundle", "bundled_policy", "model_card", "publish"),
        ("portable", "describe"),
        ("window",),
        ("envs",),
        ("registration", "planners"),
        ("play", "web", "remote", "cluster", "label"),
        ("bench", "minari"),
        ("command", "hub_commands"),
        ("cli",),
        ("__init__",),
    ),
    "training": (
        ("__init__",),
        ("engine",),
        ("data", "sources"),
        ("tokenizer", "latent_action", "dynamics", "outcome"),
        ("recipes", "stages"),
        ("evaluation", "planning"),
        ("COMMANDS",),
    ),
    "agents": (("__init__",), ("scripted",), ("real_env",), ("sb3",), ("COMMANDS",)),
}
"""The rooms of each package, lowest floor first: a room imports none of a floor above its own. Rooms of one floor may
use each other. Modules at the top of ``training`` and ``agents`` that are not named are commands."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_the_three_packages_are_there() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("genie_env", {"training", "agents", "tests", "examples"}),
        ("training", {"agents", "tests", "examples"}),
        ("agents", {"training", "tests", "examples"}),
    ],
)
def test_packages_import_one_way(package: str, forbidden: set[str]) -> None:
    found = {name_of(path): roots(path) & forbidden for path in FILES if path.is_relative_to(ROOT / package)}
    assert not {name: wrong for name, wrong in found.items() if wrong}


def room_of(path: Path, package: str) -> str:
    """The folder or module of a package that a file belongs to."""
    room = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
    named = {name for floor in FLOORS[package] for name in floor}
    is_command = room not in named and path.parent == ROOT / package and package != "genie_env"
    return "COMMANDS" if is_command else room


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_has_a_floor_and_imports_no_higher_one(package: str) -> None:
    floor_of = {room: index for index, floor in enumerate(FLOORS[package]) for room in floor}
    files = [path for path in FILES if path.is_relative_to(ROOT / package)]
    assert {room_of(path, package) for path in files} == set(floor_of), "list every room, and no other, in FLOORS"
    wrong = []
    for path in files:
        own = floor_of[room_of(path, package)]
        for name in imports(path):
            parts = name.split(".")
            if parts[0] != package or len(parts) == 1:
                continue
            is_command = parts[1] not in floor_of and (ROOT / package / f"{parts[1]}.py").exists()
            if floor_of.get("COMMANDS" if is_command else parts[1], 0) > own:
                wrong.append(f"{name_of(path)} imports {name}")
    assert not wrong


def test_what_makes_a_world_does_not_depend_on_how_worlds_are_measured() -> None:
    judges = {"evaluate.py", "diagnose.py", "ablation.py", "compare_decoding.py", "compare_members.py"}
    for path in (ROOT / "training").glob("*.py"):
        judging = any(name.startswith("training.evaluation") for name in imports(path))
        assert judging == (path.name in judges), name_of(path)


def test_pygame_stays_where_windows_are() -> None:
    users = {path for path in FILES if "pygame" in roots(path)}
    assert users and {path.parent for path in users} <= {ROOT / "genie_env" / room for room in ("window", "play")}


def test_stable_baselines3_stays_in_agents() -> None:
    users = [path for path in FILES if "stable_baselines3" in roots(path)]
    assert all(path.is_relative_to(ROOT / "agents") for path in users)


def test_nothing_pickles_and_nothing_evaluates_text() -> None:
    wrong = []
    for path in FILES:
        wrong += [f"{name_of(path)}: {x}" for x in roots(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}]
        for name, call in calls(path):
            allowed = {k.arg: ast.unparse(k.value) for k in call.keywords}.get("allow_pickle", "False")
            if name in {"torch.load", "torch.save", "torch.jit.load", "eval", "exec"} or allowed != "False":
                wrong.append(f"{name_of(path)}:{call.lineno}: {ast.unparse(call)}")
    assert not wrong


def test_no_global_generator_is_seeded() -> None:
    seeders = {"np.random.seed", "numpy.random.seed", "random.seed", "torch.manual_seed"}
    found = {f"{name_of(path)}: {name}" for path in FILES for name, _ in calls(path) if name in seeders}
    assert found == set()


@pytest.mark.parametrize("package", ["training", "agents"])
def test_inits_of_training_and_agents_hold_a_docstring_only(package: str) -> None:
    body = ast.parse((ROOT / package / "__init__.py").read_text()).body
    assert len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def test_importing_genie_env_registers_the_ids_and_imports_no_torch() -> None:
    code = (
        "import sys, genie_env, gymnasium\n"
        "assert {'Genie/Pong-v0', 'Genie/World-v0'} <= set(gymnasium.registry)\n"
        "heavy = {'torch', 'pygame', 'PIL', 'safetensors', 'einops', 'tyro', 'stable_baselines3', 'ale_py'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_lazy_names_of_genie_env_are_found() -> None:
    import genie_env

    assert all(getattr(genie_env, name) is not None for name in genie_env.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        genie_env.no_such_name  # noqa: B018
