"""The structure that design.md fixes: which package may import which, and what no file may ever call."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("genie_env", "training", "agents")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SHOWS_WINDOWS = {"renderer.py", "play.py", "keyboard.py", "pacer.py"}
# genie_env from the bottom up; a module imports modules of earlier layers and of its own.
LAYERS = (
    {"config", "registration"},
    {"frames", "options", "keyboard", "pacer", "action_map"},
    {"nn", "episodes", "source_game"},
    {"models", "sampling"},
    {"rollout"},
    {"world_model"},
    {"bundle"},
    {"dreams", "renderer", "video"},
    {"env"},
    {"vector_env"},
    {"play", "bench"},
    {"cli"},
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """Names of the modules a file imports; of its top level only unless ``everywhere``."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_the_packages_are_there() -> None:
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
    wrong = {name_of(path): imported_roots(path) & forbidden for path in FILES if path.is_relative_to(ROOT / package)}
    assert not {name: roots for name, roots in wrong.items() if roots}


def test_modules_of_genie_env_import_lower_layers_only() -> None:
    layer_of = {module: index for index, layer in enumerate(LAYERS) for module in layer}
    wrong = []
    for path in (ROOT / "genie_env").rglob("*.py"):
        module = path.relative_to(ROOT / "genie_env").parts[0].removesuffix(".py")
        if module == "__init__":
            continue
        assert module in layer_of, f"{name_of(path)}: give the new module a layer"
        for name in imports(path):
            head, _, rest = name.partition(".")
            used = rest.split(".")[0]
            # A name such as `from genie_env import load_world` comes from the package itself.
            if head == "genie_env" and used in layer_of and layer_of[used] > layer_of[module]:
                wrong.append(f"{name_of(path)} imports {name}")
    assert not wrong


def test_pygame_stays_where_windows_are() -> None:
    users = {path for path in FILES if "pygame" in imported_roots(path)}
    assert {path.name for path in users} <= SHOWS_WINDOWS
    assert {path.parent for path in users} <= {ROOT / "genie_env"}


def test_stable_baselines3_stays_in_agents() -> None:
    users = {path for path in FILES if "stable_baselines3" in imported_roots(path)}
    assert all(path.is_relative_to(ROOT / "agents") for path in users)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_unpickles(path: Path) -> None:
    assert not imported_roots(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        assert call not in {"torch.load", "torch.save", "torch.jit.load", "eval", "exec"}, f"line {node.lineno}: {call}"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle":
                assert isinstance(keyword.value, ast.Constant) and keyword.value.value is False, f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_seeds_numpy_or_python_globally(path: Path) -> None:
    calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not {"np.random.seed", "numpy.random.seed", "random.seed"} & set(calls)
    if not path.is_relative_to(ROOT / "training"):  # A stage seeds its network's first weights.
        assert "torch.manual_seed" not in calls


@pytest.mark.parametrize("package", ["training", "agents"])
def test_inits_of_training_and_agents_hold_a_docstring_only(package: str) -> None:
    body = ast.parse((ROOT / package / "__init__.py").read_text()).body
    assert len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def test_importing_genie_env_registers_ids_and_imports_no_torch() -> None:
    code = (
        "import sys, genie_env, gymnasium\n"
        "assert {'Genie/Pong-v0', 'Genie/World-v0'} <= set(gymnasium.registry)\n"
        "heavy = {'torch', 'pygame', 'PIL', 'safetensors', 'einops', 'tyro', 'stable_baselines3', 'ale_py'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_every_module_of_the_packages_has_a_docstring() -> None:
    missing = [name_of(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not missing


def test_lazy_names_of_genie_env_are_found() -> None:
    import genie_env

    for name in genie_env.__all__:
        assert getattr(genie_env, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        genie_env.no_such_name  # noqa: B018
    assert importlib.util.find_spec("genie_env.bundle") is not None
