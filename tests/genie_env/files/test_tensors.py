"""Tensors are read only if the header says what is in the file and that is what the caller expects."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from genie_env.files.errors import FileError
from genie_env.files.tensors import (
    fill_moments,
    fill_weights,
    moments_of,
    read_metadata,
    read_tensors,
    under,
    uninitialised,
    weights_of,
    write_tensors,
)


class Shared(nn.Module):
    """Two names for one layer, and every kind of tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.again = self.first
        self.register_buffer("table", torch.arange(4, dtype=torch.uint8))
        self.norm = nn.BatchNorm1d(2)


def file_of(path: Path, **tensors: torch.Tensor) -> Path:
    write_tensors(path, tensors or {"a": torch.ones(2, 3), "b": torch.arange(4)}, {"step": "7"})
    return path


def forge(path: Path, edit: Callable[[dict[str, Any]], object], body: bytes | None = None) -> None:
    """Change the header of a file of tensors."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"].pop("sha256")
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + (data[8 + length :] if body is None else body))


def test_tensors_and_text_come_back_as_they_were_written(tmp_path: Path) -> None:
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
    tensors = {str(kind): torch.arange(6).view(2, 3).T.to(kind) for kind in (*kinds, torch.uint8, torch.bool)}
    path = file_of(tmp_path / "t", **tensors)
    read = read_tensors(path, tensors, hashlib.sha256(path.read_bytes()).hexdigest())
    assert set(read) == set(tensors) and all(torch.equal(read[k], v) for k, v in tensors.items())
    assert all(read[name].dtype == tensor.dtype for name, tensor in tensors.items())
    assert read_metadata(path) == {"step": "7"}


HEADERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "huge": lambda h: h["a"].update(shape=[10**12]),
    "huge and said to be there": lambda h: h["a"].update(shape=[10**12], data_offsets=[0, 4 * 10**12]),
    "negative": lambda h: h["a"].update(shape=[-2, -3]),
    "no whole number": lambda h: h["a"].update(shape=[6.0]),
    "truth for a number": lambda h: h["a"].update(shape=[True, 6]),
    "text for a number": lambda h: h["a"].update(data_offsets=["0", "24"]),
    "no offsets": lambda h: h["a"].pop("data_offsets"),
    "three offsets": lambda h: h["a"].update(data_offsets=[0, 1, 2]),
    "overlap": lambda h: h["a"].update(data_offsets=h["b"]["data_offsets"]),
    "gap": lambda h: [e.update(data_offsets=[x + 8 for x in e["data_offsets"]]) for k, e in h.items() if k in "ab"],
    "another type": lambda h: h["a"].update(dtype="F16"),
    "unknown type": lambda h: h["a"].update(dtype="F4"),
    "type of a list": lambda h: h["a"].update(dtype=["F32"]),
    "no object": lambda h: h.update(a=3),
    "one more": lambda h: h.update(c=h["a"]),
    "one less": lambda h: h.pop("a"),
    "many axes": lambda h: h["a"].update(shape=[1] * 1000 + [6]),
    "text that is none": lambda h: h.update(__metadata__=3),
    "numbers as text": lambda h: h.update(__metadata__={"step": 3}),
}


@pytest.mark.parametrize("name", HEADERS)
def test_header_that_does_not_describe_the_file_is_refused(tmp_path: Path, name: str) -> None:
    path = file_of(tmp_path / "t")
    forge(path, HEADERS[name])
    for read in (read_tensors, read_metadata):
        with pytest.raises(FileError, match="safetensors") as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 2) + b"{}" + b"more",
    ],
)
def test_what_is_no_file_of_tensors_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(FileError, match=r"t: .*safetensors"):
        read_tensors(tmp_path / "t")


def test_file_larger_than_what_is_expected_is_not_read(tmp_path: Path) -> None:
    path = file_of(tmp_path / "t")
    with path.open("r+b") as file:
        file.truncate(10**12)
    with pytest.raises(FileError, match="at most"):
        read_tensors(path, {"a": torch.ones(2, 3)})
    with pytest.raises(FileError, match="at most"):
        read_tensors(path)


def test_names_shapes_and_types_are_compared_before_anything_is_built(tmp_path: Path) -> None:
    path, wanted = file_of(tmp_path / "t"), {"a": torch.ones(2, 3), "b": torch.arange(4)}
    for change, words in (
        ({"a": torch.ones(3, 2)}, r"a: expected torch.float32 \[3, 2\], got torch.float32 \[2, 3\]"),
        ({"b": torch.arange(4).int()}, r"b: expected torch.int32 \[4\], got torch.int64 \[4\]"),
        ({"b": torch.ones(4)}, "b: expected torch.float32"),
        ({"a": torch.ones(2, 3).long()}, "a: expected torch.int64"),
        ({"c": torch.ones(1)}, r"missing tensors \['c'\]"),
        ({"a": torch.ones(10**5, 10**5, device="meta")}, "a: expected"),
    ):
        with pytest.raises(FileError, match=words):
            read_tensors(path, {**wanted, **change})
    with pytest.raises(FileError, match=r"unknown tensors \['b'\]"):
        read_tensors(path, {"a": wanted["a"]})


def test_any_byte_that_was_not_written_is_noticed_by_the_seal(tmp_path: Path) -> None:
    path = file_of(tmp_path / "t")
    whole = path.read_bytes()
    # All but the name of the seal itself: without it the file is one of another program.
    name = whole.index(b"sha256")
    for place in (*range(8, name), *range(name + 6, len(whole))):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
        with pytest.raises(FileError):
            read_tensors(path)
    path.write_bytes(whole)
    assert set(read_tensors(path)) == {"a", "b"}


def test_file_of_another_program_that_has_no_seal_is_read(tmp_path: Path) -> None:
    path = file_of(tmp_path / "t")
    forge(path, lambda header: None)
    assert set(read_tensors(path)) == {"a", "b"} and read_metadata(path) == {"step": "7"}


def test_edited_file_is_noticed_by_its_checksum(tmp_path: Path) -> None:
    path = file_of(tmp_path / "t")
    with pytest.raises(FileError, match="sha256"):
        read_tensors(path, sha256="0" * 64)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_value_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    path = tmp_path / "t"
    # By the library itself: what writes tensors here refuses such a value.
    save_file({"weight": torch.tensor([1.0, value])}, path)
    with pytest.raises(FileError, match=r"weight: .*not finite"):
        read_tensors(path)


def test_value_too_large_for_the_precision_it_is_used_in_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "t", a=torch.tensor([1e300], dtype=torch.float64))
    assert float(read_tensors(path)["a"]) == 1e300
    with pytest.raises(FileError, match="too large"):
        read_tensors(path, {"a": torch.zeros(1)})
    path = file_of(tmp_path / "t", a=torch.tensor([70_000.0]))
    with pytest.raises(FileError, match=r"too large for torch\.float16"):
        read_tensors(path, {"a": torch.zeros(1)}, finite_as=torch.float16)


def test_module_is_filled_with_what_was_taken_from_it_shared_layers_once() -> None:
    first, second = Shared(), Shared()
    weights = weights_of(first)
    assert "first.weight" in weights and "again.weight" not in weights
    fill_weights(second, weights, "file")
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_module_stays_as_it_is_when_it_is_filled_with_anything_else() -> None:
    module, weights = Shared(), weights_of(Shared())
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for change in (
        {"first.weight": torch.zeros(2, 2)},
        {"table": torch.arange(4)},
        {"norm.bias": torch.tensor([1.0, torch.nan])},
        {"more": torch.zeros(1)},
    ):
        with pytest.raises(FileError, match="file: "):
            fill_weights(module, {**weights, **change}, "file")
    with pytest.raises(FileError, match="missing tensors"):
        fill_weights(module, {"table": weights["table"]}, "file")
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop])
def test_optimizer_goes_on_as_if_it_had_never_stopped(kind: type[torch.optim.Optimizer], tmp_path: Path) -> None:
    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    options = {"lr": 0.1, **({} if kind is torch.optim.AdamW else {"momentum": 0.9})}
    model = nn.Linear(3, 2)
    optimizer = kind(model.parameters(), **options)
    train(model, optimizer)
    write_tensors(tmp_path / "t", {**weights_of(model), **{f"o.{k}": v for k, v in moments_of(optimizer).items()}})
    train(model, optimizer)
    again = nn.Linear(3, 2)
    resumed = kind(again.parameters(), **options)
    tensors = read_tensors(tmp_path / "t")
    fill_weights(again, {k: v for k, v in tensors.items() if not k.startswith("o.")}, tmp_path / "t")
    fill_moments(resumed, under(tensors, "o."), tmp_path / "t")
    train(again, resumed)
    assert torch.equal(model.weight, again.weight) and torch.equal(model.bias, again.bias)


def test_moments_of_another_optimizer_are_refused() -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    for name, value in (
        ("2.exp_avg", torch.zeros(2)),
        ("-1.exp_avg", torch.zeros(2)),
        ("exp_avg", torch.zeros(2)),
        ("0.exp_avg", torch.zeros(3, 2)),
    ):
        with pytest.raises(FileError, match=r"file: .*expected"):
            fill_moments(optimizer, {name: value}, "file")
    with pytest.raises(FileError, match="the same state"):
        fill_moments(optimizer, {"0.step": torch.ones(1), "1.exp_avg": torch.zeros(2)}, "file")
    assert not optimizer.state_dict()["state"]


def test_building_uninitialised_moves_no_generator_and_keeps_shapes() -> None:
    before = torch.get_rng_state()
    with uninitialised():
        made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Embedding(5, 6), nn.Linear(2, 2), nn.GRU(2, 3))
        nn.init.orthogonal_(made[2].weight)
        assert torch.randn(2, 3).shape == (2, 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert [tuple(p.shape) for p in made.parameters()][:3] == [(4, 3, 3, 3), (4,), (5, 6)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nothing_that_is_not_finite_is_ever_written(value: float, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"a": torch.ones(2)})
    with pytest.raises(FileError, match=r"weights\.safetensors: is not written: a is not finite"):
        write_tensors(path, {"a": torch.tensor([1.0, value])})
    assert torch.equal(read_tensors(path)["a"], torch.ones(2))
