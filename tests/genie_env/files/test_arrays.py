"""An array is what its header claims and the file holds, or it is refused before anything is allocated."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genie_env.files.arrays import open_array, write_array
from genie_env.files.errors import FileError


def header(description: dict[str, Any], version: tuple[int, int] = (1, 0)) -> bytes:
    text = f"{description!r}\n".replace("}", ", }").encode("latin1")
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(2 if version == (1, 0) else 4, "little") + text


def plain(shape: tuple[Any, ...], descr: Any = "|u1", order: bool = False) -> bytes:
    return header({"descr": descr, "fortran_order": order, "shape": shape})


def saved(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_written_array_opens_equal_memory_mapped_and_read_only(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_array(tmp_path / "a.npy", array.transpose(0, 2, 1))
    opened = open_array(tmp_path / "a.npy", "uint8", (None, 4, 3))
    assert isinstance(opened, np.memmap) and np.array_equal(opened, array.transpose(0, 2, 1))
    with pytest.raises(ValueError, match="read-only"):
        opened[0] = 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), opened)


def test_array_without_values_opens(tmp_path: Path) -> None:
    write_array(tmp_path / "a.npy", np.zeros((5, 0), np.float32))
    assert open_array(tmp_path / "a.npy", "float32", (5, 0)).shape == (5, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"no array at all",
        plain((10**12,)),
        plain((2**62, 2**62)),
        plain((-4,)),
        plain((True,)),
        plain(("4",)),
        plain((2, 2)),
        plain((4,), descr="|O"),
        plain((4,), descr="<f8"),
        plain((4,), descr=[("a", "|u1")]),
        plain((4,), descr="unknown"),
        plain((4,), descr={}),
        header({"descr": "|u1", "fortran_order": False, "shape": (4,)}, (9, 0)) + b"1234",
        header({"shape": (4,)}) + b"1234",
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f",
        plain((4,)) + b"123",
        plain((4,)) + b"12345",
        saved(np.array([{}] * 4), allow_pickle=True),
    ],
    ids=lambda data: repr(data[10:60]),
)
def test_what_is_no_array_of_that_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(FileError) as caught:
        open_array(tmp_path / "a.npy", "uint8", (4,))
    assert str(caught.value).startswith(f"{tmp_path / 'a.npy'}: expected ") and len(str(caught.value)) < 400


def test_column_major_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(plain((2, 2), order=True) + b"1234")
    with pytest.raises(FileError, match="column-major"):
        open_array(tmp_path / "a.npy", "uint8", (2, 2))


@pytest.mark.skipif(os.name != "posix", reason="makes files that only POSIX has")
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("folder", "fifo", "nothing"):
        with pytest.raises(FileError, match=name):
            open_array(tmp_path / name, "uint8", (4,))
