"""Whether Python finds this project's ``training`` and ``agents``, whose names others use too, and says whose they are.

Another distribution may install a package of the same name into the same folder, and a folder of that name where a
command is started hides ours. Either would end in an error about a missing module or name.
"""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from pathlib import Path

OURS = {
    "agents": "Acts in worlds and in the real games they were learned from.",
    "training": "Makes worlds: records gameplay, trains and measures the models, and exports bundles.",
}
"""What the packages say of themselves, by which they are known."""


def check_package(name: str) -> None:
    """Do nothing if the top-level package ``name`` is this project's, or none of :data:`OURS`.

    Raises:
        ImportError: if it is missing or somebody else's; says where it lies, whose it is and what to do.
    """
    if name not in OURS:
        return
    ours = Path(__file__).resolve().parent.parent / name
    spec = importlib.util.find_spec(name)
    place = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
    if place is not None and place.parent == ours and OURS[name] in place.read_text(encoding="utf-8", errors="replace"):
        return
    others = sorted({other for other in packages_distributions().get(name, []) if other.lower() != "genie-env"})
    whose = f" of {' and '.join(others)}" if others else ""
    found = "is missing" if spec is None else f"is another one{whose}, in {_folder(spec)}"
    remedy = f"start from a folder without one named {name!r}, or reinstall genie-env"
    if others:
        remedy = f"uninstall {' and '.join(others)}, or use an environment without it, and reinstall genie-env"
    raise ImportError(f"the package {name!r} {found}; expected {ours}: {remedy}")


def _folder(spec: ModuleSpec) -> str:
    places = list(spec.submodule_search_locations or [])
    return places[0] if places else str(spec.origin)
