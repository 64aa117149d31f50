"""NumPy arrays on disk, memory-mapped after the header was compared with the file. Never a pickle."""

from __future__ import annotations

import math
import re
from pathlib import Path

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
        head = file.read(MOST_HEADER)
    found = HEADER.match(head)
    if found is None or int.from_bytes(found[1] or found[2], "little") != len(found[3]):
        raise FileError(path, "expected a NumPy array, as numpy.save writes it")
    kind, order, lengths = (text.decode() for text in found.groups()[3:])
    got = [int(length) for length in lengths.split(",") if length.strip()]
    fits = len(got) == len(shape) and all(wanted in (None, length) for length, wanted in zip(got, shape, strict=True))
    if kind != np.dtype(dtype).str or order != "False" or not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        order = " in column-major order" if order != "False" else ""
        raise FileError(path, f"expected {dtype} [{wanted}], got {_name(kind)} {got}{order}")
    bytes_expected = found.end() + math.prod(got) * np.dtype(dtype).itemsize
    if bytes_expected != size:
        raise FileError(path, f"expected {bytes_expected} bytes, got {size}")
    if not math.prod(got):
        return np.zeros(got, dtype)
    return np.memmap(path, dtype, "r", found.end(), tuple(got))


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write an array so that the file is whole or absent."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def _name(kind: str) -> str:
    try:
        return np.dtype(kind).name
    except TypeError:
        return kind
