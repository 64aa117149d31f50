"""Messages between a server of dreams and its clients: msgpack maps, arrays as raw bytes with their type and shape.

Owns form and checks of a message, which docs/remote.md describes; knows nothing of sockets and worlds. Nothing that
comes in is executed, and no length in it is believed before the bytes are there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genie_env.remote.libraries import msgpack

VERSION = 1
"""Of the messages; client and server must have the same."""
REQUESTS = {
    "open": {"version", "rows", "options"},
    "reset": {"seed", "options"},
    "step": {"action"},
    "render": set(),
}
"""What a client may ask for, and the fields of each request beside ``op``."""
ARRAY, OBJECTS = 1, 2
"""msgpack's extension types: an array of numbers, and a list of arrays where some are None."""
KINDS = ("bool", "uint8", "int32", "int64", "float32", "float64")
"""Types of numbers in arrays, little-endian."""
MOST_AXES = 5
LONGEST_TEXT = 500
"""Characters of a quoted error."""


class ProtocolError(ValueError):
    """A message is not one of those that docs/remote.md describes."""


def pack(message: dict[str, Any]) -> bytes:
    """Encode a message.

    Raises:
        ValueError: if it holds something that cannot be sent.
    """
    try:
        return bytes(msgpack.packb(message, default=_packed) or b"")
    except (TypeError, OverflowError, ValueError) as error:
        raise ValueError(f"expected numbers, text, lists, dicts and arrays to send, got {error}") from None


def unpack(data: Any) -> dict[str, Any]:
    """Decode a message.

    Raises:
        ProtocolError: if it is no binary message, no msgpack, or no map.
    """
    if not isinstance(data, bytes):
        raise ProtocolError(f"expected a binary message, got {type(data).__name__}")
    try:
        message = msgpack.unpackb(data, ext_hook=_unpacked)
    except ProtocolError:
        raise
    # msgpack raises errors of its own kinds for bad, long and deep input; some are no ValueErrors.
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise ProtocolError(f"expected a msgpack message ({one_line(str(error)) or type(error).__name__})") from None
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise ProtocolError(f"expected a map from text, got {type(message).__name__}")
    return message


def read_request(data: Any) -> tuple[str, dict[str, Any]]:
    """A client's request: its ``op`` and its other fields.

    Raises:
        ProtocolError: if it is none of :data:`REQUESTS`, or its fields are others.
    """
    message = unpack(data)
    op = message.pop("op", None)
    if not isinstance(op, str) or op not in REQUESTS:
        raise ProtocolError(f"op: expected one of {list(REQUESTS)}, got {quoted(op)}")
    if set(message) != REQUESTS[op]:
        raise ProtocolError(f"{op}: expected the fields {sorted(REQUESTS[op])}, got {quoted(sorted(message))}")
    return op, message


def one_line(text: str) -> str:
    """Text from elsewhere as one line that can be printed."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:LONGEST_TEXT]


def quoted(value: Any) -> str:
    """A value from elsewhere as an error shows it."""
    text = one_line(repr(value))
    return text if len(text) < 80 else f"{text[:80]}…"


def _packed(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype == object:
        return msgpack.ExtType(OBJECTS, msgpack.packb(list(value), default=_packed))
    if isinstance(value, np.ndarray):
        kind = value.dtype.name
        if kind not in KINDS:
            raise TypeError(f"an array of {kind}")
        content = value.astype(_little(kind)).tobytes(order="C")
        return msgpack.ExtType(ARRAY, msgpack.packb([kind, list(value.shape), content]))
    raise TypeError(type(value).__name__)


def _unpacked(code: int, data: bytes) -> Any:
    if code == OBJECTS:
        return _objects(msgpack.unpackb(data, ext_hook=_unpacked_array))
    return _unpacked_array(code, data)


def _unpacked_array(code: int, data: bytes) -> np.ndarray:
    # Arrays lie in lists of arrays, but nothing lies deeper: nesting would cost a copy each.
    if code != ARRAY:
        raise ProtocolError(f"expected an array, got extension type {code}")
    parts = msgpack.unpackb(data)
    if not isinstance(parts, list) or len(parts) != 3:
        raise ProtocolError("array: expected type, shape and bytes")
    kind, shape, content = parts
    if not isinstance(kind, str) or kind not in KINDS:
        raise ProtocolError(f"array: expected one of {list(KINDS)}, got {quoted(kind)}")
    if not isinstance(shape, list) or len(shape) > MOST_AXES or not isinstance(content, bytes):
        raise ProtocolError(f"array: expected a shape of at most {MOST_AXES} axes and bytes, got {quoted(shape)}")
    axes = [n for n in shape if type(n) is int and 0 <= n < 2**31]
    if len(axes) < len(shape):
        raise ProtocolError(f"array: expected a shape of whole numbers, got {quoted(shape)}")
    numbers = _little(kind)
    if math.prod(axes) * numbers.itemsize != len(content):
        raise ProtocolError(f"array: expected the bytes of {kind} {axes}, got {len(content)} bytes")
    if kind == "bool" and content.strip(b"\0\1"):
        raise ProtocolError("array: expected bytes 0 and 1 for bool")
    return np.frombuffer(content, numbers).reshape(axes).astype(kind)


def _objects(values: Any) -> np.ndarray:
    if not isinstance(values, list) or not all(value is None or isinstance(value, np.ndarray) for value in values):
        raise ProtocolError("list of arrays: expected arrays and nil")
    found = np.full(len(values), None, dtype=object)
    for index, value in enumerate(values):
        found[index] = value
    return found


def _little(kind: str) -> np.dtype[Any]:
    return np.dtype(kind).newbyteorder("<")
