"""What a run is: all its settings, and what the folders it reads hold. Two runs that differ in it are not mixed.

A stamp is flat and JSON-plain: names of settings as on the command line, to their values. Knows no stage and no loop.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import checksum

Stamp = dict[str, Any]
FLAT = ("model", "loop")
"""Settings whose own settings have no prefix, as on the command line."""
FREE = frozenset(
    {
        "out",
        "n_updates",
        "accumulate",
        "eval_every",
        "checkpoint_every",
        "device",
        "compile",
        "workers",
        "ray",
        "replace",
    }
)
"""Settings that may change within a run: where it lies and on what it runs, how long it is and what it reports. How
many parts a batch has is decided by ``accumulate`` and the number of processes together."""
SIZES = frozenset({"vocab_size", "side", "num_tokens", "num_actions"})
"""Settings that the tokens decide, where a stage reads tokens."""
MARKS = ("manifest.json", "config.json", "model.safetensors")
"""Files that say what a recording, a token store or a finished stage holds; the first two hold checksums or sizes."""


class Change(NamedTuple):
    """A setting that differs between two stamps; None where one of them has none."""

    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name} {_shown(self.before)}, now {_shown(self.now)}"


def stamp_of(config: JsonConfig) -> Stamp:
    """The stamp of a stage's settings; a folder that it reads counts by what it holds, not by its name."""
    stamp: Stamp = {}
    for name in (field.name for field in dataclasses.fields(config)):
        value = getattr(config, name)
        if name in FREE:
            continue
        if isinstance(value, JsonConfig):
            stamp |= _under(name, _flat(value.to_json()))
        else:
            stamp[name] = fingerprint(value) if isinstance(value, Path) else value
    left_out = FREE | (SIZES if hasattr(config, "tokens") else frozenset())
    return {name: value for name, value in _flat(stamp).items() if name not in left_out}


def usual_of(config: JsonConfig) -> Stamp:
    """What the stamp of such settings says where nothing is chosen; settings that must be chosen are left out."""
    usual: Stamp = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, JsonConfig):
            usual |= _under(field.name, usual_of(value))
        elif field.default is not dataclasses.MISSING:
            usual[field.name] = field.default
    return _flat(usual)


def changes(before: Mapping[str, Any], now: Mapping[str, Any], usual: Mapping[str, Any] | None = None) -> list[Change]:
    """Settings that differ, by name.

    A setting that ``before`` does not know came later, and does by default what was done before: where ``now`` says
    what ``usual`` says, it is no change.
    """
    usual = usual or {}
    return [
        Change(name, before.get(name), now.get(name))
        for name in sorted({*before, *now})
        if before.get(name, usual.get(name) if name in now else None) != now.get(name)
    ]


def describe(found: list[Change], most: int = 4) -> str:
    """The changes in one line, the first few of many."""
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(map(str, found[:most])) + rest


def fingerprint(folder: Path) -> str:
    """SHA-256 over the files that say what a folder holds; the folder's path where there are none."""
    marks = [folder / name for name in MARKS if (folder / name).is_file()]
    if not marks:
        return str(folder)
    sums = [f"{path.name} {checksum(path)}" for path in marks]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _under(name: str, inner: Stamp) -> Stamp:
    """The stamp of settings that are the setting ``name`` of others."""
    return inner if name in FLAT else {f"{name}.{key}": value for key, value in inner.items()}


def _flat(plain: Mapping[str, Any]) -> Stamp:
    found: Stamp = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": inner for key, inner in _flat(value).items()}
        else:
            # As it comes back from JSON.
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text[:60]
