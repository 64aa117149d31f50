"""Reading files that may come from anywhere: regular files only, up to a size, and JSON that cannot exhaust Python.

A folder, a FIFO, a device or an endless link in place of a file is refused without being opened for long. Knows
nothing about what a file means.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from genie_env.files.errors import FileError

JSON_BYTES = 4 * 2**20
"""Largest JSON file that is read, unless the caller expects a larger one."""
JSON_DEPTH = 50
"""Deepest nesting of lists and objects; Python's own functions on deeper ones may run out of stack."""


def read_json(path: Path | str, what: str = "JSON", max_bytes: int = JSON_BYTES) -> Any:
    """The content of a JSON file in UTF-8.

    Args:
        path: of the file.
        what: what it should be, for the error: ``the JSON of a policy``.
        max_bytes: size of the largest file that is read.

    Raises:
        FileError: if it is missing, no regular file, too large, no JSON, too deep, or holds text that is no Unicode.
    """
    return parse_json(read_bytes(path, max_bytes), path, what)


def parse_json(data: bytes, path: Path | str, what: str = "JSON") -> Any:
    """Decode JSON that was read from ``path``; as :func:`read_json`."""
    try:
        content = json.loads(data.decode("utf-8"))
        _check_nesting(content)
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"expected {what} ({error})") from None
    return content


def read_bytes(path: Path | str, max_bytes: int) -> bytes:
    """The whole content of a regular file.

    Raises:
        FileError: if it is missing, unreadable, no regular file, or larger than ``max_bytes``.
    """
    with open_regular(path) as (file, size):
        if size > max_bytes:
            raise FileError(path, f"expected at most {max_bytes} bytes, got {size}")
        data = file.read(size)
        if len(data) != size or file.read(1):
            raise FileError(path, f"changed while it was read, or has no size; expected {size} bytes")
        return data


def checksum(path: Path | str) -> str:
    """SHA-256 of a regular file in hexadecimal, read in parts.

    Raises:
        FileError: if it is missing, unreadable or no regular file.
    """
    with open_regular(path) as (file, _):
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_regular(path: Path | str) -> Iterator[tuple[BufferedReader, int]]:
    """Open a regular file for reading; yields it and its size in bytes.

    Raises:
        FileError: if it is missing, unreadable or no regular file, or reading it fails later.
    """
    if "\0" in str(path):
        raise FileError(repr(str(path)), "is no path of a file")
    try:
        # Before opening: opening a device may do something, and opening a FIFO waits until something is written.
        _require_regular(os.stat(path).st_mode, path)
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            _require_regular(status.st_mode, path)
            yield file, status.st_size
    except FileNotFoundError:
        raise FileError(path, "missing") from None
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error})") from None


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _require_regular(mode: int, path: Path | str) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
        raise FileError(path, f"expected a regular file, got {kinds.get(stat.S_IFMT(mode), 'a device')}")


def _check_nesting(content: Any) -> None:
    """Refuse what is nested too deeply, and text with half of a surrogate pair, which cannot be written again."""
    level, depth = [content], 0
    while level:
        if depth > JSON_DEPTH:
            raise ValueError(f"nested more than {JSON_DEPTH} deep")
        inner: list[Any] = []
        for value in level:
            if isinstance(value, str):
                value.encode()
            elif isinstance(value, dict):
                inner += [*value, *value.values()]
            elif isinstance(value, list):
                inner += value
        level, depth = inner, depth + 1
