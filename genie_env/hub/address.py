"""Addresses of repositories: ``hf://user/repo``, or ``hf://user/repo@revision`` with a branch, a tag or a commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
ADDRESS = re.compile(rf"hf:/{{1,2}}({NAME}/{NAME})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,199}}))?")
"""One slash is what a ``pathlib.Path`` makes of two."""
COMMIT = re.compile(r"[0-9a-f]{40}")
MAIN = "main"


class HubError(ValueError):
    """A repository that cannot be read or written; the message begins with its address."""

    def __init__(self, address: HubAddress | str, problem: str) -> None:
        super().__init__(f"{address}: {problem}")
        self.problem = problem


class HubAddress(NamedTuple):
    """A repository of the Hub and one of its revisions."""

    repo: str
    """``user/repo``."""
    revision: str = MAIN
    """Branch, tag or commit."""

    @property
    def is_commit(self) -> bool:
        """Whether the revision is a whole commit, whose files never change."""
        return COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"hf://{self.repo}" + ("" if self.revision == MAIN else f"@{self.revision}")


def is_hub_address(name: str | Path) -> bool:
    """Whether ``name`` is meant as an address of the Hub, well-formed or not."""
    return str(name).startswith("hf:/")


def parse_address(name: str | Path) -> HubAddress:
    """Read an address.

    Raises:
        HubError: if it is none.
    """
    match = ADDRESS.fullmatch(str(name))
    unsafe = ("..", "//", "--", "/.", "./", "@/")
    if match is None or any(part in str(name).partition(":/")[2].lstrip("/") for part in unsafe):
        raise HubError(str(name)[:300], "expected an address like hf://user/repo or hf://user/repo@revision")
    repo, revision = match.groups()
    if revision is not None and revision.endswith(("/", ".", ".lock")):
        raise HubError(str(name)[:300], f"expected the name of a branch, a tag or a commit, got {revision!r}")
    return HubAddress(repo, revision or MAIN)
