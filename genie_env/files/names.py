"""Names of files that a user chooses."""

from __future__ import annotations

import re


def require_file_name(name: str) -> None:
    """Refuse what is no plain name: it may not lead into another folder.

    Raises:
        ValueError: naming it and what was expected.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"name: expected letters, digits, '_', '-' and '.', got {name!r}")
