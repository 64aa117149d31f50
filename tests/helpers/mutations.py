"""Ways to damage a folder of files, from a flipped bit to a forged header. Knows formats, not what files mean."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
NASTY: list[Any] = [
    0,
    -1,
    1,
    2,
    3,
    7,
    64,
    255,
    256,
    1000,
    10**6,
    10**9,
    2**31,
    2**63,
    10**30,
    -(10**12),
    0.5,
    -0.0,
    1e300,
    -1e300,
    1e-300,
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    False,
    None,
    "",
    "x",
    "codebook",
    "fsq",
    "train",
    "os:system-v0",
    "../../etc/passwd",
    "\x1b[2J",
    "\ud800",
    "é" * 300,
    [],
    [0],
    [[]],
    [-1, 10**9],
    [1.5] * 5,
    {},
    {"a": 1},
    {"kind": "fsq"},
]
"""Values that stand where others were expected."""


def mutate(folder: Path, rng: Rng) -> str:
    """Damage one or two files of a folder; returns how, for a person who wants to look."""
    done = []
    for _ in range(1 + (rng.random() < 0.2)):
        # Not those that an earlier damage made endless.
        files = [path for path in folder.rglob("*") if _is_small(path)]
        if not files:
            break
        path = sorted(files)[rng.integers(len(files))]
        special = {".json": edit_json, ".safetensors": edit_tensors, ".npy": edit_array}.get(path.suffix)
        ways = [edit_bytes, edit_place, *([special] * 6 if special else [])]
        way = ways[rng.integers(len(ways))]
        try:
            done.append(f"{path.name}: {way(path, rng)}")
        except (ValueError, TypeError, LookupError, AttributeError, EOFError, RecursionError):
            # An earlier damage left nothing that this one could understand.
            done.append(f"{path.name}: {edit_bytes(path, rng)}")
    return "; ".join(done)


def edit_bytes(path: Path, rng: Rng) -> str:
    """Flip bits, cut off, add, or replace everything."""
    data = bytearray(path.read_bytes())
    way = int(rng.integers(5))
    if way == 0 and data:
        for place in rng.integers(len(data), size=rng.integers(1, 9)):
            data[place] ^= 1 << int(rng.integers(8))
    elif way == 1 and data:
        # The beginning is where headers are.
        data[int(rng.integers(min(len(data), 200)))] = int(rng.integers(256))
    elif way == 2:
        del data[int(rng.integers(len(data) + 1)) :]
    elif way == 3:
        data += bytes(rng.integers(0, 256, rng.integers(1, 100), dtype=np.uint8))
    else:
        data = bytearray([b"", b"null", b"[" * 100_000, b'{"a":' * 50_000, b"\xff" * 64][int(rng.integers(5))])
    path.write_bytes(data)
    return f"bytes, way {way}"


def edit_place(path: Path, rng: Rng) -> str:
    """Put something in place of the file, exchange it with another, or make it huge without using the disk."""
    others = sorted(other for other in path.parent.iterdir() if other != path and _is_small(other))
    other = others[rng.integers(len(others))] if others else path
    way = int(rng.integers(9))
    if way == 0:
        content, theirs = path.read_bytes(), other.read_bytes()
        path.write_bytes(theirs)
        other.write_bytes(content)
    elif way == 1:
        shutil.copyfile(other, path) if other != path else None
    elif way == 2:
        os.truncate(path, 2**40)
    else:
        path.unlink()
        makers: list[Callable[[Path], object]] = [
            lambda path: None,
            Path.mkdir,
            os.mkfifo,
            lambda path: path.symlink_to("/dev/zero"),
            lambda path: path.symlink_to(path),
            lambda path: path.symlink_to(other),
        ]
        makers[way - 3](path)
    return f"place, way {way}"


def edit_json(path: Path, rng: Rng) -> str:
    """Change one value, or its key, somewhere in the tree."""
    content = json.loads(path.read_bytes())
    holder, key = _place(content, rng)
    if holder is None:
        path.write_text(json.dumps(NASTY[rng.integers(len(NASTY))]))
        return "json: everything"
    before = holder[key]
    way = int(rng.integers(8))
    if way < 4:
        holder[key] = NASTY[rng.integers(len(NASTY))]
    elif way == 4 and isinstance(before, (int, float)):
        scale = [2, 3, 10, 1000, -1, 0.5][rng.integers(6)]
        holder[key] = type(before)(before * scale) if abs(before) < 1e300 else 1
    elif way == 5:
        del holder[key]
    elif way == 6:
        if isinstance(holder, dict):
            holder["surprise"] = before
        else:
            holder.append(before)
    else:
        deep: Any = before
        for _ in range(int(rng.choice([1, 60, 900]))):
            deep = [deep]
        holder[key] = deep
    path.write_text(json.dumps(content))
    return f"json: {key!r} from {str(before)[:40]} to {str(holder[key])[:40] if way != 5 else 'nothing'}"


def edit_tensors(path: Path, rng: Rng) -> str:
    """Forge the header of a safetensors file, or change values under a header that is right."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    # A forger leaves the seal out: files of other programs have none either.
    header.pop("__metadata__", None)
    name = sorted(header)[rng.integers(len(header))]
    entry = header[name]
    body = bytearray(data[8 + length :])
    way = int(rng.integers(6))
    if way == 0:
        entry["shape"] = [NASTY[rng.integers(len(NASTY))] for _ in range(rng.integers(4))]
    elif way == 1:
        entry["dtype"] = str(rng.choice(["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8"]))
    elif way == 2:
        entry["data_offsets"] = [NASTY[rng.integers(len(NASTY))], NASTY[rng.integers(len(NASTY))]]
    elif way == 3:
        header[str(rng.choice(["surprise", "__metadata__", *header]))] = header.pop(name)
    elif way == 4:
        # The same number of values in another precision, with a header that fits: it gets as far as its values.
        _retype(header, name, body, rng)
    else:
        start, stop = entry["data_offsets"]
        kinds = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I16": np.int16, "U8": np.uint8}
        values = np.frombuffer(bytes(body[start:stop]), kinds.get(entry["dtype"], np.uint8)).copy()
        with np.errstate(all="ignore"):
            values[rng.integers(len(values), size=3) if len(values) else []] = np.array(
                rng.choice([np.nan, np.inf, 6e4, -6e4, 1e-7, -1, 0])
            ).astype(values.dtype)
            if rng.random() < 0.5:
                values[:] = values[:1] * 0 + np.array(rng.choice([65504, -65504, 1e-7])).astype(values.dtype)
        body[start:stop] = values.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return f"tensors: {name}, way {way}"


def _retype(header: dict[str, Any], name: str, body: bytearray, rng: Rng) -> None:
    entry = header[name]
    start, stop = entry["data_offsets"]
    kinds = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64, "I16": np.int16, "U8": np.uint8}
    if entry["dtype"] not in kinds:
        return
    wanted = str(rng.choice(sorted(kinds)))
    values = np.frombuffer(bytes(body[start:stop]), kinds[entry["dtype"]])
    with np.errstate(all="ignore"):
        fresh = (values * rng.choice([1.0, 1e300, -1e5])).astype(kinds[wanted]).tobytes()
    body[start:stop] = fresh
    entry["dtype"] = wanted
    grown = len(fresh) - (stop - start)
    for other in header.values():
        if isinstance(other, dict) and other.get("data_offsets", [0])[0] >= stop and other is not entry:
            other["data_offsets"] = [offset + grown for offset in other["data_offsets"]]
    entry["data_offsets"] = [start, start + len(fresh)]


def edit_array(path: Path, rng: Rng) -> str:
    """Forge the header of a ``.npy`` file, or change values under a header that is right."""
    array = np.load(path, allow_pickle=False)
    way = int(rng.integers(4))
    if way == 0:
        shape = tuple(NASTY[rng.integers(24)] for _ in range(rng.integers(1, 5)))
        _write_header(path, {"descr": array.dtype.str, "fortran_order": False, "shape": shape}, array.tobytes())
    elif way == 1:
        descr = str(rng.choice(["|O", "<f8", "<c16", "|S5", "<U9", "<M8[s]", "|V8", "|b1", "<i2", "?" * 50]))
        _write_header(
            path, {"descr": descr, "fortran_order": bool(rng.integers(2)), "shape": array.shape}, array.tobytes()
        )
    elif way == 2 and array.size:
        flat = array.reshape(-1)
        with np.errstate(all="ignore"):
            value = np.array(rng.choice([np.nan, np.inf, -1e9, 32767, -2, 1])).astype(array.dtype)
        flat[rng.integers(len(flat), size=rng.integers(1, 5))] = value
        np.save(path, array)
    else:
        np.save(
            path, [array[:0], array[::-1], array[1:], np.concatenate([array, array]), array[..., None]][rng.integers(5)]
        )
    return f"array, way {way}"


def _write_header(path: Path, description: dict[str, Any], body: bytes) -> None:
    text = f"{description!r}\n".encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body)


def _place(content: Any, rng: Rng) -> tuple[Any, Any]:
    """A list or object somewhere in the tree and one of its keys; None where there is none."""
    holder, key = None, None
    while isinstance(content, (dict, list)) and content:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        holder, key = content, keys[rng.integers(len(keys))]
        content = holder[key]
        if rng.random() < 0.1:
            break
    return holder, key


def _is_small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size < 2**24
