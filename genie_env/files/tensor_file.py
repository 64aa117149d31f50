"""Tensors of a safetensors file as NumPy arrays, and where in the file they lie: the reader that needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from genie_env.files.errors import FileError
from genie_env.files.reading import read_bytes
from genie_env.files.tensor_header import check_seal, parse_header


class Place(NamedTuple):
    """Where one tensor lies in a file."""

    offset: int
    """Bytes before its first one."""
    length: int
    """Its bytes."""


class TensorFile(NamedTuple):
    """A file of tensors that was checked."""

    path: Path
    arrays: dict[str, np.ndarray]
    places: dict[str, Place]


def read_tensor_file(
    path: Path | str,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    sha256: str | None = None,
    *,
    max_bytes: int = 2**30,
) -> TensorFile:
    """All tensors of a file.

    Args:
        path: of the file.
        shapes: names and shapes that the file must have, no more and no less.
        sha256: checksum that the file must have.
        max_bytes: size of the largest file that is read.

    Raises:
        FileError: if it is missing, damaged, too large, holds anything else than was expected, values that half
            precision does not know, or a type that NumPy does not know.
    """
    data = read_bytes(path, max_bytes)
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise FileError(path, "is truncated or was edited: its sha256 is not the recorded one")
    header = parse_header(data, len(data), path)
    check_seal(data, path)
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise FileError(path, f"not a safetensors file that NumPy can read ({error})") from None
    if shapes is not None:
        _check_shapes(arrays, shapes, path)
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not _is_finite(array):
            raise FileError(path, f"{name}: holds values that are not finite, or too large for float16")
    places = {name: Place(entry.offset, entry.length) for name, entry in header.tensors.items()}
    return TensorFile(Path(path), arrays, places)


def _check_shapes(arrays: dict[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], path: Path | str) -> None:
    missing, unknown = sorted(set(shapes) - set(arrays)), sorted(set(arrays) - set(shapes))
    if missing or unknown:
        raise FileError(path, f"missing tensors {missing[:3]}, unknown tensors {unknown[:3]}")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise FileError(path, f"{name}: expected the shape {list(shape)}, got {list(arrays[name].shape)}")


def _is_finite(array: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float16)).all())
