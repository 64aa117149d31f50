"""Repositories in the Hub's cache: each commit a folder that is whole and checked, or absent.

Only files whose names are known beforehand are downloaded, in bounded sizes. A folder lies where huggingface_hub
keeps that commit (``HF_HUB_CACHE``), as plain files, so its own commands list and delete it, and a whole one that it
downloaded is used. Knows nothing about what files mean beyond the checksums that one of them lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from genie_env.files.atomic import whole_folder, write_text
from genie_env.files.errors import FileError
from genie_env.files.reading import checksum, read_bytes
from genie_env.hub.address import COMMIT, HubAddress, HubError
from genie_env.hub.client import HubUnreachableError, Listing, library, read_file, read_listing

PATIENCE_S = 600.0
"""Seconds to wait for another process that downloads the same commit."""


@dataclass(frozen=True)
class Contents:
    """What a repository must hold, and all that is ever downloaded from one."""

    what: str
    """What it is: ``a world``."""
    manifest: str
    """Name of the file that lists the others."""
    files: Mapping[str, int]
    """Names that are allowed, and the most bytes of each."""
    checksums: Callable[[Path], Mapping[str, str]]
    """Reads the manifest in a folder: SHA-256 of each file that must be there. Raises FileError."""
    optional: tuple[str, ...] = ()
    """Allowed files that the manifest does not list and that may be missing."""


class Snapshot(NamedTuple):
    """A commit in the cache."""

    folder: Path
    address: HubAddress
    """With the commit for its revision."""


def fetch(address: HubAddress, contents: Contents) -> Snapshot:
    """The folder of a repository's files, downloaded if it is not in the cache.

    A commit in the cache is used without a request. A branch or tag is looked up at the Hub each time; where the Hub
    cannot be reached, the commit that it last was is used, if that is in the cache.

    Raises:
        HubError: if there is no such repository or revision, it holds something else, what is sent is not what was
            listed, or the Hub cannot be reached and nothing is in the cache. The cache stays as it was.
        ImportError: without huggingface_hub.
        OSError: if the cache cannot be written.
    """
    library()
    known = address.revision if address.is_commit else None
    if known is not None and is_whole(snapshot_folder(address.repo, known), contents):
        return Snapshot(snapshot_folder(address.repo, known), address)
    try:
        listing = read_listing(address)
        if known is not None and listing.commit != known:
            raise HubError(address, f"the Hub answers with another commit, {listing.commit}")
        snapshot = _download(address.repo, listing, contents)
    except HubUnreachableError as error:
        known = known or _read_reference(address)
        if known is not None and is_whole(snapshot_folder(address.repo, known), contents):
            return Snapshot(snapshot_folder(address.repo, known), HubAddress(address.repo, known))
        raise HubUnreachableError(address, f"{error.problem}, and it is not in the cache") from None
    if not address.is_commit:
        # A cache that may only be read still serves.
        with suppress(OSError):
            write_text(_reference(address), listing.commit)
    return snapshot


def is_whole(folder: Path, contents: Contents) -> bool:
    """Whether a folder holds every file that its manifest lists, undamaged."""
    try:
        wanted = contents.checksums(folder)
        return all(checksum(folder / name) == sha256 for name, sha256 in wanted.items())
    except FileError:
        return False


def repository_folder(repo: str) -> Path:
    """Where the cache keeps a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser() / f"models--{repo.replace('/', '--')}"


def snapshot_folder(repo: str, commit: str) -> Path:
    """Where the cache keeps a commit of a repository."""
    return repository_folder(repo) / "snapshots" / commit


def _download(repo: str, listing: Listing, contents: Contents) -> Snapshot:
    from filelock import FileLock, Timeout

    address, folder = HubAddress(repo, listing.commit), snapshot_folder(repo, listing.commit)
    if is_whole(folder, contents):
        return Snapshot(folder, address)
    lock = repository_folder(repo) / f".{listing.commit}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=PATIENCE_S):
            if not is_whole(folder, contents):
                _require_small(address, listing, contents, (contents.manifest,))
                with whole_folder(folder, replace=True) as partial:
                    _fill(partial, address, listing, contents)
    except Timeout:
        raise HubError(address, "another process has been downloading it for ten minutes") from None
    return Snapshot(folder, address)


def _fill(partial: Path, address: HubAddress, listing: Listing, contents: Contents) -> None:
    """Download the manifest, then what it lists, and compare all of it with the listing and with the manifest."""

    def download(name: str) -> None:
        (partial / name).write_bytes(read_file(address, name, listing.files[name]))

    download(contents.manifest)
    try:
        wanted = contents.checksums(partial)
    except FileError as error:
        raise HubError(address, f"is no {contents.what}: {contents.manifest}: {error.problem}") from None
    optional = tuple(name for name in contents.optional if name in listing.files)
    _require_small(address, listing, contents, (*wanted, *optional))
    for name in (*wanted, *optional):
        download(name)
        if name in wanted and checksum(partial / name) != wanted[name]:
            raise HubError(address, f"{name}: its sha256 is not the one in {contents.manifest}")


def _require_small(address: HubAddress, listing: Listing, contents: Contents, names: tuple[str, ...]) -> None:
    """Refuse names that are not allowed or not there, and files that are too large, before anything is downloaded."""
    for name in names:
        if name not in contents.files:
            raise HubError(address, f"{contents.manifest} lists {name[:100]!r}; a {contents.what} has no such file")
        if name not in listing.files:
            raise HubError(address, f"is no {contents.what}: expected the file {name!r}")
        size, most = listing.files[name].size, contents.files[name]
        if size > most:
            raise HubError(address, f"{name}: expected at most {most} bytes, the Hub lists {size}")


def _reference(address: HubAddress) -> Path:
    return repository_folder(address.repo) / "refs" / address.revision


def _read_reference(address: HubAddress) -> str | None:
    """The commit that a branch or tag last was."""
    try:
        commit = read_bytes(_reference(address), 100).decode("utf-8").strip()
    except (FileError, UnicodeDecodeError):
        return None
    return commit if COMMIT.fullmatch(commit) else None
