"""Messages come back as they were, and nothing that is none of them passes or costs more than its bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack", reason="the extra 'serve' is not installed")

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from genie_env.remote.wire import ARRAY, KINDS, OBJECTS, REQUESTS, ProtocolError, pack, read_request, unpack


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 4, 1)])
def test_arrays_come_back_with_type_shape_and_values(kind: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(kind)
    # Neither the order in memory nor that of bytes is the sender's.
    sent = np.array(array, dtype=array.dtype.newbyteorder(">"), order="F")
    back = unpack(pack({"x": sent}))["x"]
    assert back.dtype == array.dtype and back.shape == shape and np.array_equal(back, array)
    assert back.flags.writeable and back.dtype.isnative


def test_final_observations_and_nested_infos_come_back() -> None:
    final = np.array([None, np.arange(3)], dtype=object)
    infos = {
        "final_obs": final,
        "final_info": {"step": np.arange(2), "_step": np.array([True, False])},
        "n": np.int64(4),
    }
    back = unpack(pack(infos))
    assert back["final_obs"][0] is None and np.array_equal(back["final_obs"][1], np.arange(3)) and back["n"] == 4
    assert np.array_equal(back["final_info"]["_step"], [True, False])


@pytest.mark.parametrize("value", [{1, 2}, object(), np.array(["a"]), np.zeros(2, np.complex128), 2**70])
def test_what_cannot_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="to send"):
        pack({"x": value})


def array(*parts: Any) -> bytes:
    return msgpack.packb({"x": msgpack.ExtType(ARRAY, msgpack.packb(list(parts)))})


HOSTILE = {
    "text": "open",
    "empty": b"",
    "no msgpack": b"\xc1",
    "cut off": pack({"op": "reset"})[:-1],
    "two messages": pack({}) * 2,
    "no map": msgpack.packb([1]),
    "keys that are no text": msgpack.packb({1: 2}),
    "a list of four thousand million": b"\xdd\xff\xff\xff\xff",
    "nested without end": b"\x91" * 100_000,
    "unknown extension": msgpack.packb({"x": msgpack.ExtType(7, b"")}),
    "lists of arrays in each other": msgpack.packb(
        {"x": msgpack.ExtType(OBJECTS, msgpack.packb([msgpack.ExtType(OBJECTS, msgpack.packb([]))]))}
    ),
    "list of numbers for arrays": msgpack.packb({"x": msgpack.ExtType(OBJECTS, msgpack.packb([1]))}),
    "objects": array("object", [1], b"12345678"),
    "text in arrays": array("str", [1], b"1234"),
    "a shape larger than its bytes": array("uint8", [2**30, 2**30], b"1"),
    "a negative shape": array("uint8", [-1], b"1"),
    "a shape of truths": array("uint8", [True], b"1"),
    "a shape of many axes": array("uint8", [1] * 6, b"1"),
    "bytes that are text": array("uint8", [1], "1"),
    "truths that are neither": array("bool", [1], b"\x02"),
    "array without shape": array("uint8"),
    "a key that is a list": b"\x81\x90\x01",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_messages_are_one_short_error(data: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack(data)
    assert len(str(caught.value)) < 700 and str(caught.value).isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_map_or_an_error(data: bytes) -> None:
    try:
        message = unpack(data)
    except ProtocolError:
        return
    assert isinstance(message, dict)


@pytest.mark.parametrize(
    "message",
    [{}, {"op": "quit"}, {"op": ["step"]}, {"op": "step"}, {"op": "render", "x": 1}, {"op": "__init__"}],
    ids=repr,
)
def test_requests_have_known_names_and_exactly_their_fields(message: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="expected"):
        read_request(pack(message))
    for op, fields in REQUESTS.items():
        assert read_request(pack({"op": op, **dict.fromkeys(fields)})) == (op, dict.fromkeys(fields))
