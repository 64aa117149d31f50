"""Folders put on the Hub, in one commit: files whose names are known, with a card for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genie_env.files.errors import FileError
from genie_env.hub.address import MAIN, HubAddress, HubError, parse_address
from genie_env.hub.client import library, reported
from genie_env.hub.download import Contents, is_whole

CARD = "README.md"


@dataclass(frozen=True)
class PushSettings:
    """How a repository is made and written."""

    revision: str = MAIN
    """Branch that gets the commit."""
    private: bool = False
    """Keep a repository that is made now to its owner."""
    message: str = "Upload with genie-env"
    """Message of the commit."""
    license: str | None = None
    """Licence in the card's metadata, as the Hub names it: mit, cc-by-4.0, other."""


def upload(
    folder: Path, repo: str, contents: Contents, settings: PushSettings, extra: Mapping[str, bytes]
) -> HubAddress:
    """Put a folder on the Hub; the repository is made if there is none.

    Args:
        folder: with the files of ``contents``.
        repo: ``user/repo``, with or without ``hf://``.
        contents: what is uploaded; anything else in the folder stays here.
        settings: of the commit.
        extra: further files and their contents, the card among them.

    Returns:
        The address of the commit.

    Raises:
        ValueError: if the folder is not whole, or ``repo`` is no name of a repository.
        HubError: if the Hub refuses or cannot be reached; files appear together in one commit or not at all.
        ImportError: without huggingface_hub.
    """
    hub = library()
    address = parse_address(repo if repo.startswith("hf:/") else f"hf://{repo}")
    address = HubAddress(address.repo, settings.revision)
    names = [*contents.checksums(folder), contents.manifest]
    if not is_whole(folder, contents):
        raise FileError(folder, f"is no whole {contents.what}: a file is missing or damaged")
    additions = {name: (folder / name).read_bytes() for name in names} | dict(extra)
    operations = [hub.CommitOperationAdd(name, data) for name, data in additions.items()]
    try:
        with reported(address):
            api = hub.HfApi(library_name="genie-env")
            api.create_repo(address.repo, private=settings.private, exist_ok=True)
            commit = api.create_commit(
                address.repo, operations, commit_message=settings.message, revision=settings.revision
            )
    # What the library raises for a malformed answer, or around an upload that failed.
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        cause = error.__cause__ or error
        problem = f"the upload failed ({type(cause).__name__}: {cause})"
        raise HubError(address, " ".join(problem.split())[:300]) from None
    return HubAddress(address.repo, commit.oid)
