"""Find damaged files: ``python -m training.verify FOLDER``, of a recording, tokens, a bundle, a run or a policy.

Compares every file with the checksum that was recorded when it was written, and opens what it belongs to. Status 0 if
all is sound; 1 with one line for each damaged file; 2 if there is nothing to verify.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from genie_env.bundle import load_world
from genie_env.command import run
from genie_env.data import manifest as recording
from genie_env.data.episodes import EpisodeStore
from genie_env.files.errors import FileError
from genie_env.files.reading import checksum, read_json
from genie_env.files.tensor_header import read_header
from genie_env.files.tensors import read_tensors
from training.data import token_store
from training.data.token_store import TokenStore

DAMAGED = 1
"""Exit status if a file is damaged."""
MANIFESTS = ("manifest.json", "config.json", "policy.json")
"""Files that may hold the checksums of those beside them."""


@dataclass(frozen=True)
class VerifyConfig:
    """Find damaged files of a recording, tokens, a bundle, a run or a policy."""

    folder: tyro.conf.Positional[Path]
    """Folder to verify, with all folders in it."""


class Findings(NamedTuple):
    """What was verified."""

    num_files: int
    num_checksums: int
    """Files among them that a checksum was recorded for."""
    damaged: list[FileError]
    """One for each damaged file, by its name."""


def verify(folder: Path | str) -> Findings:
    """Verify everything below a folder.

    Raises:
        ValueError: if there is no file of which something is known.
    """
    files, checksums, damaged = set[Path](), set[Path](), dict[str, FileError]()

    def attempt(function: Callable[..., object], *arguments: Any) -> None:
        try:
            function(*arguments)
        except FileError as error:
            damaged.setdefault(error.path, error)

    for inner in _folders(Path(folder)):
        recorded: dict[Path, str] = {}
        manifests = {path for name in MANIFESTS if os.path.lexists(path := inner / name)}
        for manifest in sorted(manifests):
            attempt(_read_checksums, manifest, recorded)
        for path, digest in recorded.items():
            attempt(_compare, path, digest)
        others = {*inner.glob("*.safetensors"), *inner.glob("*.json")} - {*recorded, *manifests}
        for path in sorted(others):
            attempt(_read_alone, path, checksums)
        if not any(Path(path).parent == inner for path in damaged):
            attempt(_open, inner)
        files |= {*recorded, *manifests, *others}
        checksums |= set(recorded)
    if not files:
        raise ValueError(f"{folder}: expected a recording, tokens, a bundle, a run or a policy")
    return Findings(len(files), len(checksums), [damaged[path] for path in sorted(damaged)])


def _folders(folder: Path) -> Iterator[Path]:
    for name, inner, _ in os.walk(folder):
        inner.sort()
        yield Path(name)


def _read_checksums(manifest: Path, found: dict[Path, str]) -> None:
    """Add the checksums in a manifest to those that were found."""
    content = read_json(manifest, max_bytes=recording.MANIFEST_BYTES)
    recorded = content.get("sha256") if isinstance(content, dict) else None
    if isinstance(recorded, str):
        found[manifest.with_name("policy.safetensors")] = recorded
    elif isinstance(recorded, dict):
        # A name with a separator, or of dots alone, would lead out of the folder.
        inside = {
            name: str(digest) for name, digest in recorded.items() if Path(name).suffix and name == Path(name).name
        }
        found.update({manifest.with_name(name): digest for name, digest in inside.items()})


def _compare(path: Path, digest: str) -> None:
    if checksum(path) != digest:
        raise FileError(path, "is damaged: its sha256 is not the recorded one")


def _read_alone(path: Path, checksums: set[Path]) -> None:
    """Read a file for which no manifest has a checksum; tensors may have their own."""
    if path.suffix == ".json":
        read_json(path)
        return
    if read_header(path).seal is not None:
        checksums.add(path)
    read_tensors(path)


def _open(folder: Path) -> None:
    """Open what a folder is, if it is something that can be opened."""
    if (folder / "manifest.json").exists():
        kind = read_json(folder / "manifest.json", max_bytes=recording.MANIFEST_BYTES)
        kinds = {recording.FORMAT: EpisodeStore, token_store.FORMAT: TokenStore}
        opener = kinds.get(str(kind.get("format"))) if isinstance(kind, dict) else None
        if opener is None:
            raise FileError(folder / "manifest.json", f"expected the manifest of one of {sorted(kinds)}")
        opener(folder)
    elif (folder / "config.json").exists() and "format_version" in read_json(folder / "config.json"):
        load_world(folder, device="cpu")


def main(config: VerifyConfig) -> None:
    """Command line."""
    found = verify(config.folder)
    for error in found.damaged:
        print(error, file=sys.stderr)
    if found.damaged:
        raise SystemExit(DAMAGED)
    print(f"{config.folder}: {found.num_files} files are sound, {found.num_checksums} by a recorded checksum")


if __name__ == "__main__":
    raise SystemExit(run(main, VerifyConfig, description=__doc__))
