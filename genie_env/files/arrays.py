"""NumPy arrays on disk, memory-mapped after the header was compared with the file. Never a pickle."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genie_env.files.atomic import whole_file
from genie_env.files.errors import FileError
from genie_env.files.reading import open_regular

HEADER = re.compile(
    rb"\x93NUMPY(?:\x01\x00(..)|\x02\x00(....))"
    rb"(\{'descr': '([ -&(-~]{2,20})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,20}(?:, [0-9]{1,20}){0,15},?)?)\)(?:, )?\} *\n)",
    re.DOTALL,
)
"""What :func:`numpy.save` writes. NumPy's own reader would parse whatever text stands there as Python."""
MOST_HEADER = 4096


class ArrayHeader(NamedTuple):
    """What stands before the numbers of an array."""

    kind: str
    """Their type as NumPy writes it: ``|u1``."""
    shape: tuple[int, ...]
    column_major: bool
    length: int
    """Bytes before the first number."""


def parse_header(head: bytes, path: Path | str) -> ArrayHeader:
    """What the first :data:`MOST_HEADER` bytes of a ``.npy`` file say; nothing in them is run or allocated.

    Raises:
        FileError: if they are not those of an array; names ``path``.
    """
    found = HEADER.match(head)
    if found is None or int.from_bytes(found[1] or found[2], "little") != len(found[3]):
        raise FileError(path, "expected a NumPy array, as numpy.save writes it")
    kind, order, lengths = (text.decode() for text in found.groups()[3:])
    shape = tuple(int(length) for length in lengths.split(",") if length.strip())
    return ArrayHeader(kind, shape, order != "False", found.end())


def open_array(path: Path | str, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Memory-map an array for reading.

    Args:
        path: a ``.npy`` file in row-major order.
        dtype: what it must hold.
        shape: what it must have; None stands for any length.

    Raises:
        FileError: if it is missing, no such file, or another array; nothing of the size it claims is allocated.
    """
    with open_regular(path) as (file, size):
        header = parse_header(file.read(MOST_HEADER), path)
    kind, got = header.kind, list(header.shape)
    fits = len(got) == len(shape) and all(wanted in (None, length) for length, wanted in zip(got, shape, strict=True))
    if kind != np.dtype(dtype).str or header.column_major or not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        order = " in column-major order" if header.column_major else ""
        raise FileError(path, f"expected {dtype} [{wanted}], got {_name(kind)} {got}{order}")
    bytes_expected = header.length + math.prod(got) * np.dtype(dtype).itemsize
    if bytes_expected != size:
        raise FileError(path, f"expected {bytes_expected} bytes, got {size}")
    if not math.prod(got):
        return np.zeros(got, dtype)
    return np.memmap(path, dtype, "r", header.length, tuple(got))


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write an array so that the file is whole or absent."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def _name(kind: str) -> str:
    try:
        return np.dtype(kind).name
    except TypeError:
        return kind
