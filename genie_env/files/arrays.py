"""NumPy arrays on disk, memory-mapped after the header was compared with the file. Never a pickle."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from genie_env.files.atomic import whole_file
from genie_env.files.errors import FileError
from genie_env.files.reading import open_regular


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
        try:
            version = np.lib.format.read_magic(file)
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            found, column_major, kind = readers[version](file)
        except (ValueError, KeyError, EOFError, RecursionError, MemoryError) as error:
            raise FileError(path, f"expected a NumPy array ({str(error) or type(error).__name__})") from None
        offset = file.tell()
    fits = len(found) == len(shape) and all(b in (None, a) for a, b in zip(found, shape, strict=True))
    if kind != np.dtype(dtype) or not fits or column_major:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        order = " in column-major order" if column_major else ""
        raise FileError(path, f"expected {dtype} [{wanted}], got {kind} {list(found)}{order}")
    if offset + math.prod(found) * kind.itemsize != size:
        raise FileError(path, f"expected {offset + math.prod(found) * kind.itemsize} bytes, got {size}")
    if not math.prod(found):
        return np.zeros(found, dtype)
    return np.memmap(path, kind, "r", offset, found)


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write an array so that the file is whole or absent."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
