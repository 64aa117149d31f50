"""Whatever lies where a file should be, it is read in bounded time and memory, or refused in one line with its name."""

from __future__ import annotations

import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from genie_env.files.errors import FileError
from genie_env.files.reading import JSON_BYTES, JSON_DEPTH, checksum, read_bytes, read_json


def as_socket(path: Path) -> None:
    # Its address may be 100 characters long at most.
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{short}/s")
        Path(f"{short}/s").rename(path)


NOT_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "missing"),
    "folder": (Path.mkdir, "a folder"),
    "fifo": (lambda path: os.mkfifo(path), "a FIFO"),
    "socket": (as_socket, "a socket"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "link to itself": (lambda path: path.symlink_to(path), "cannot be read"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "missing"),
    "file without a size": (lambda path: path.symlink_to("/proc/self/maps"), "has no size"),
    "sparse file of a terabyte": (lambda path: path.touch() or os.truncate(path, 2**40), "at most"),
}


@pytest.mark.skipif(os.name != "posix", reason="makes files that only POSIX has")
@pytest.mark.parametrize("kind", NOT_FILES)
def test_only_regular_files_up_to_a_limit_are_read(tmp_path: Path, kind: str) -> None:
    make, word = NOT_FILES[kind]
    path = tmp_path / "config.json"
    make(path)
    with pytest.raises(FileError, match=word) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ") and caught.value.path == str(path)
    if kind not in ("file without a size", "sparse file of a terabyte"):
        with pytest.raises(FileError, match=word):
            checksum(path)


def test_link_to_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("[1]")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert read_json(tmp_path / "link") == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * (JSON_DEPTH + 2) + b"]" * (JSON_DEPTH + 2),
        b"1" * 10_000,
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b" " * (JSON_BYTES + 1),
    ],
    ids=lambda data: f"{data[:12]!r}*{len(data)}",
)
def test_json_that_cannot_be_worked_with_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(FileError) as caught:
        read_json(path, "the JSON of a world")
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ") and "\n" not in message and len(message) < 300


def test_json_of_allowed_depth_is_read(tmp_path: Path) -> None:
    (tmp_path / "json").write_text("[" * JSON_DEPTH + "]" * JSON_DEPTH)
    assert isinstance(read_json(tmp_path / "json"), list)


def test_file_at_the_limit_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(FileError, match="at most 4 bytes, got 5"):
        read_bytes(tmp_path / "file", 4)


def test_path_that_no_system_takes_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 5000), f"{tmp_path}/a\0b", tmp_path / "file" / "below"):
        (tmp_path / "file").touch()
        with pytest.raises(FileError):
            read_json(path)


def test_file_error_comes_back_whole_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(FileError(Path("a") / "b", "two\nlines")))
    assert isinstance(error, ValueError) and str(error) == f"{Path('a') / 'b'}: two lines"
