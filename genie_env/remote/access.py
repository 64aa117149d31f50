"""Who may reach a server: addresses of this machine, and tokens. Knows nothing of sockets."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from genie_env.files.reading import read_bytes

SHORTEST_TOKEN = 16
"""Characters; shorter ones could be guessed."""


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, which no other one can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: Path) -> str:
    """The token in a file, which holds nothing else.

    Raises:
        ValueError: if there is none, or it is too short to keep anybody out.
    """
    try:
        text = read_bytes(path, 4096).decode("ascii").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a token of printable ASCII characters") from None
    return check_token(text, str(path))


def check_token(token: str, where: str) -> str:
    """A token, or ValueError."""
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"{where}: expected a token of at least {SHORTEST_TOKEN} printable characters without spaces, "
            f'as python -c "import secrets; print(secrets.token_urlsafe())" makes'
        )
    return token
