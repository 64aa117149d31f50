"""The header of a safetensors file: what it says of the bytes after it, and the seal that says they are those written.

The seal is a checksum of everything else in the file, beside the other metadata; files of other programs have none.
Knows neither torch nor NumPy.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from genie_env.files.errors import FileError
from genie_env.files.reading import open_regular, parse_json

HEADER_BYTES = 16 * 2**20
MOST_AXES = 16
SEAL, METADATA = "sha256", "__metadata__"
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Types of tensors that are read, and their bytes."""


class Entry(NamedTuple):
    """One tensor."""

    kind: str
    """One of :data:`ITEM_BYTES`."""
    shape: tuple[int, ...]
    offset: int
    """Bytes of the file before its first one."""
    length: int
    """Its bytes."""


class Header(NamedTuple):
    """What a file holds."""

    tensors: dict[str, Entry]
    metadata: dict[str, str]
    seal: str | None
    """Checksum of everything else in the file."""


def read_header(path: Path | str) -> Header:
    """What a file holds, without reading its tensors.

    Raises:
        FileError: if it is missing, no such file, or its header does not describe its bytes to the last one.
    """
    with open_regular(path) as (file, size):
        head = file.read(8)
        head += file.read(min(int.from_bytes(head, "little"), HEADER_BYTES, size))
    return parse_header(head, size, path)


def parse_header(head: bytes, size: int, path: Path | str) -> Header:
    """What a file of ``size`` bytes holds according to its beginning, if that can be true.

    Args:
        head: the file's beginning with its whole header, or all of it.
        size: bytes of the file.
        path: of the file, for the error.

    Raises:
        FileError: if it is no such file, or its header does not describe its bytes to the last one.
    """
    raw, end = _decode(head, path)
    metadata = raw.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise FileError(path, "not a safetensors file (its metadata is no text)")
    tensors = {name: _entry(name, entry, end, path) for name, entry in raw.items()}
    # One after another to the last byte: nothing is read twice, and nothing is hidden between them.
    place = end
    for entry in sorted(tensors.values(), key=lambda entry: (entry.offset, entry.length)):
        place = place + entry.length if entry.offset == place else -1
    if place != size:
        raise FileError(path, f"not a safetensors file (its header does not describe {size - end} bytes of tensors)")
    return Header(tensors, {k: v for k, v in metadata.items() if k != SEAL}, metadata.get(SEAL))


def check_seal(data: bytes, path: Path | str) -> None:
    """Compare a whole file with its seal, if it has one.

    Raises:
        FileError: if anything in the file is not as it was written.
    """
    raw, end = _decode(data, path)
    seal = raw.get(METADATA, {}).get(SEAL)
    if seal is not None and seal != _digest(raw, data, end):
        raise FileError(path, "is damaged: its sha256 is not the one in its header")


def sealed(data: bytes) -> bytes:
    """A file as the library made it, with a seal."""
    raw, end = _decode(data, "tensors")
    raw[METADATA] = {**raw.get(METADATA, {}), SEAL: _digest(raw, data, end)}
    text = json.dumps(raw, separators=(",", ":")).encode()
    # Tensors begin at a multiple of eight, as the library wants them.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def _decode(head: bytes, path: Path | str) -> tuple[dict[str, Any], int]:
    """The header as it is written, and where it ends."""
    end = 8 + int.from_bytes(head[:8], "little")
    if len(head) < 8 or end > min(len(head), 8 + HEADER_BYTES):
        raise FileError(path, "not a safetensors file (its header is longer than the file)")
    raw = parse_json(head[8:end], path, "the header of a safetensors file")
    if not isinstance(raw, dict):
        raise FileError(path, "not a safetensors file (its header is no object)")
    return raw, end


def _entry(name: str, entry: Any, end: int, path: Path | str) -> Entry:
    try:
        kind, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        fits = all(type(n) is int and n >= 0 for n in (*shape, start, stop)) and len(shape) <= MOST_AXES
        if fits and math.prod(shape) * ITEM_BYTES[kind] == stop - start:
            return Entry(kind, shape, end + start, stop - start)
    except (KeyError, TypeError, ValueError):
        pass
    raise FileError(path, f"not a safetensors file (its header says of {name[:80]!r}: {str(entry)[:120]})")


def _digest(raw: dict[str, Any], data: bytes, end: int) -> str:
    """Of the header without the seal, in one spelling, and of the tensors."""
    metadata = {name: text for name, text in raw.get(METADATA, {}).items() if name != SEAL}
    header = {**{name: entry for name, entry in raw.items() if name != METADATA}, METADATA: metadata}
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(memoryview(data)[end:])
    return digest.hexdigest()
