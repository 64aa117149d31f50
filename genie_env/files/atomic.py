"""Files and folders that appear whole or not at all, and folders that belong to one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that the file is whole or absent."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(json.dumps(data, indent=1))
    temporary.rename(path)


def claim_folder(stamp: Path, settings: dict[str, Any]) -> None:
    """Make the stamp's folder a run with these settings, or find that it is one.

    Args:
        stamp: JSON file in the folder of a run.
        settings: JSON-plain; everything that a run cannot change when it goes on.

    Raises:
        ValueError: if a run with other settings lies there.
    """
    stamp.parent.mkdir(parents=True, exist_ok=True)
    if stamp.exists():
        before = json.loads(stamp.read_text())
        changed = sorted(k for k in {*before, *settings} if before.get(k) != settings.get(k))
        if changed:
            raise ValueError(f"{stamp.parent} holds a run with other {changed}; use another --out or remove it")
    write_json(stamp, settings)


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; it becomes ``path`` at the end, or vanishes after an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
