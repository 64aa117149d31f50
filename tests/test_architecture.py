"""The structure that design.md fixes: which package may import which, and what no file may ever call."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("genie_env", "training", "agents")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SHOWS_WINDOWS = {"renderer.py", "play.py", "play_session.py", "keyboard.py", "pacer.py"}
# The design's chain, lowest first: a module named here imports none that is named further down.
LAYERS = (
    ("config",),
    ("frames", "nn", "options", "episodes", "sampling"),
    ("models",),
    ("rollout",),
    ("world_model",),
    ("bundle",),
    ("torch_use",),
    ("dreams",),
    ("env",),
    ("vector_env",),
    ("recording", "twin"),
    ("play_session",),
    ("play", "cli"),
)


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


def test_only_the_commands_that_judge_import_how_it_is_done() -> None:
    """What makes a world must not depend on how worlds are measured."""
    judges = {"evaluate.py", "diagnose.py", "ablation.py"}
    for path in (ROOT / "training").glob("*.py"):
        judging = any(name.startswith("training.evaluation") for name in imports(path))
        assert judging == (path.name in judges), name_of(path)
    commands = {f"training.{name.removesuffix('.py')}" for name in judges}
    for path in (ROOT / "training" / "evaluation").glob("*.py"):
        assert not [name for name in imports(path) if name.startswith(tuple(f"{c}." for c in commands))]


def test_modules_of_genie_env_import_no_higher_layer() -> None:
    layer_of = {module: index for index, layer in enumerate(LAYERS) for module in layer}
    wrong = []
    for path in (ROOT / "genie_env").rglob("*.py"):
        own = layer_of.get(path.relative_to(ROOT / "genie_env").parts[0].removesuffix(".py"), len(LAYERS))
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "genie_env" and layer_of.get(parts[-1] if len(parts) == 1 else parts[1], 0) > own:
                wrong.append(f"{name_of(path)} imports {name}")
    assert not wrong


def test_pygame_stays_where_windows_are() -> None:
    users = {path for path in FILES if "pygame" in roots(path)}
    assert {path.name for path in users} <= SHOWS_WINDOWS
    assert {path.parent for path in users} <= {ROOT / "genie_env"}


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
    # A stage of training seeds its network's first weights.
    assert {name for name in found if not (name.startswith("training/train_") and "torch" in name)} == set()


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
