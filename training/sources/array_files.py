"""Arrays in ``.npy`` and ``.npz`` files, read row by row: nothing is allocated that a header merely claims.

Owns the two formats. Knows nothing of pictures. NumPy's own reader is not used: it would parse a header as Python.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from genie_env.files.arrays import MOST_HEADER, parse_header
from genie_env.files.errors import FileError
from genie_env.files.reading import open_regular

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError)
MOST_ARRAYS = 1000
CHUNK_BYTES = 8 * 2**20
MOST_ROW_BYTES = 2**30


class ArrayFacts(NamedTuple):
    """An array of a file."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


def array_facts(path: Path) -> list[ArrayFacts]:
    """The arrays of a file, of which only the headers are read; a ``.npy`` file holds one without a name.

    Raises:
        FileError: if it is no such file, or an array cannot be read row by row.
    """
    with _members(path) as members:
        found = []
        for name in members:
            with _opened(path, members, name) as (stream, facts, _):
                del stream
                found.append(facts)
        return found


def read_rows(path: Path, name: str) -> Iterator[np.ndarray]:
    """An array's rows in their order, some megabytes at a time.

    Raises:
        FileError: if it ends before its last row, or is damaged.
    """
    with _members(path) as members, _opened(path, members, name) as (stream, facts, rest):
        row_bytes = math.prod(facts.shape[1:]) * facts.dtype.itemsize
        step = max(1, CHUNK_BYTES // max(1, row_bytes))
        for start in range(0, facts.shape[0], step):
            count = min(step, facts.shape[0] - start)
            data = _exactly(path, stream, rest, count * row_bytes)
            rest = b""
            yield np.frombuffer(data, facts.dtype).reshape(count, *facts.shape[1:])


def read_all(path: Path, facts: ArrayFacts, most_rows: int, most_bytes: int = 2**31) -> np.ndarray:
    """A small array as a whole.

    Raises:
        FileError: if it is larger than it may be, or damaged.
    """
    size = math.prod(facts.shape) * facts.dtype.itemsize
    if size > most_bytes or (facts.shape and facts.shape[0] > most_rows):
        raise FileError(path, f"{facts.name}: expected at most {most_rows} rows, got {list(facts.shape)}")
    parts = list(read_rows(path, facts.name))
    return np.concatenate(parts) if parts else np.zeros(facts.shape, facts.dtype)


@contextlib.contextmanager
def _members(path: Path) -> Iterator[dict[str, zipfile.ZipFile | IO[bytes]]]:
    """Names of the arrays and what each is opened from."""
    with open_regular(path) as (file, size):
        if not size:
            raise FileError(path, "is empty: it has zero bytes")
        if path.suffix.lower() == ".npy":
            yield {"": file}
            return
        try:
            archive = zipfile.ZipFile(file)
        except DAMAGED as error:
            raise FileError(path, f"expected an .npz archive, as numpy.savez writes it ({error})") from None
        with archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            if len(names) > MOST_ARRAYS:
                raise FileError(path, f"expected at most {MOST_ARRAYS} arrays, got {len(names)}")
            yield {name.removesuffix(".npy"): archive for name in names}


@contextlib.contextmanager
def _opened(
    path: Path, members: dict[str, zipfile.ZipFile | IO[bytes]], name: str
) -> Iterator[tuple[IO[bytes], ArrayFacts, bytes]]:
    """The stream of an array, what its header says, and the bytes that were read beyond the header."""
    where = members[name]
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(where, zipfile.ZipFile):
                stream: IO[bytes] = stack.enter_context(where.open(f"{name}.npy"))
            else:
                stream = where
                stream.seek(0)
            head = stream.read(MOST_HEADER)
            header = parse_header(head, path)
            yield stream, _facts(path, name, header.kind, header.shape, header.column_major), head[header.length :]
    except FileError:
        raise
    except DAMAGED as error:
        raise FileError(path, f"{name or 'the array'}: is damaged ({error})") from None


def _facts(path: Path, name: str, kind: str, shape: tuple[int, ...], column_major: bool) -> ArrayFacts:
    label = name or "the array"
    if "O" in kind:
        raise FileError(path, f"{label}: expected numbers, got Python objects, as pictures of several sizes become")
    try:
        dtype = np.dtype(kind)
    except TypeError:
        raise FileError(path, f"{label}: expected numbers, got {kind!r}") from None
    if column_major and len(shape) > 1:
        raise FileError(path, f"{label}: is in column-major order; save it with numpy.ascontiguousarray")
    if any(length > 2**40 for length in shape) or math.prod(shape[1:]) * dtype.itemsize > MOST_ROW_BYTES:
        raise FileError(path, f"{label}: expected rows of at most a gigabyte, got shape {list(shape)[:20]}")
    return ArrayFacts(name, dtype, shape)


def _exactly(path: Path, stream: IO[bytes], before: bytes, count: int) -> bytes:
    if len(before) > count:
        raise FileError(path, "holds more than its header says")
    data = before + stream.read(count - len(before))
    if len(data) != count:
        raise FileError(path, "ends before its last row; expected a whole file")
    return data
