"""Tensors on disk as safetensors: read only if regular, checked before they are allocated, written whole or not at all.

Also what a network and its optimizer are as flat tensors. Knows nothing of worlds, policies or training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn
from torch.overrides import TorchFunctionMode

from genie_env.files.atomic import whole_file
from genie_env.files.errors import FileError
from genie_env.files.reading import read_bytes
from genie_env.files.tensor_header import HEADER_BYTES, check_seal, parse_header, read_header, sealed

TENSOR_BYTES = 16 * 2**30
"""Largest file of tensors that is read, unless the caller knows better."""
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_tensors(
    path: Path | str,
    shapes: Mapping[str, torch.Tensor] | None = None,
    sha256: str | None = None,
    *,
    max_bytes: int = TENSOR_BYTES,
    finite_as: torch.dtype | None = None,
) -> dict[str, torch.Tensor]:
    """All tensors of a file, on the CPU.

    Args:
        path: of the file.
        shapes: tensors of the names, shapes and types that the file must have; they may lie on the meta device. A
            floating-point tensor may be stored in another precision; everything else must be exactly what it is.
        sha256: checksum that the file must have.
        max_bytes: size of the largest file that is read.
        finite_as: precision in which all floating-point values must be finite; by default that of ``shapes``, or
            the stored one.

    Raises:
        FileError: if it is missing, damaged, too large, or holds anything else than was expected.
    """
    if shapes is not None:
        max_bytes = min(max_bytes, HEADER_BYTES + sum(8 * tensor.numel() for tensor in shapes.values()))
    data = read_bytes(path, max_bytes)
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise FileError(path, "is truncated or was edited: its sha256 is not the recorded one")
    found = parse_header(data, len(data), path).tensors
    if shapes is not None:
        _check_names(set(found), set(shapes), path)
        for name, wanted in shapes.items():
            _check_kind(name, DTYPES[found[name].kind], found[name].shape, wanted, path)
    check_seal(data, path)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise FileError(path, f"not a safetensors file ({error})") from None
    for name, tensor in tensors.items():
        _check_finite(name, tensor, finite_as or (shapes[name].dtype if shapes is not None else tensor.dtype), path)
    return tensors


def read_metadata(path: Path | str) -> dict[str, str]:
    """Text that lies beside the tensors of a file.

    Raises:
        FileError: if it is missing or damaged.
    """
    return read_header(path).metadata


def write_tensors(
    path: Path | str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors, and text beside them, so that the file is whole or absent.

    Raises:
        FileError: if a value is not finite; what was there stays, for nothing could read the new one.
        OSError: if it cannot be written; names the file.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise FileError(path, f"is not written: {name} is not finite; go on with a lower learning rate")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = sealed(save(plain, None if metadata is None else dict(metadata)))
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """All tensors of a module; one that has several names, as shared layers do, comes once, under the first."""
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), (name, tensor.detach()))
    return dict(found.values())


def fill_weights(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: Path | str) -> None:
    """Give a module exactly what :func:`weights_of` gave.

    Args:
        module: to fill; it stays as it is after an error.
        tensors: by name.
        path: where they come from, for the error.

    Raises:
        FileError: if names, shapes or types differ, or a value is not finite in the module's precision.
    """
    wanted = weights_of(module)
    _check_names(set(tensors), set(wanted), path)
    for name, tensor in wanted.items():
        got = tensors[name]
        _check_kind(name, got.dtype, tuple(got.shape), tensor, path)
        _check_finite(name, got, tensor.dtype, path)
    module.load_state_dict(dict(tensors), strict=False)


@contextmanager
def uninitialised() -> Iterator[None]:
    """Build modules without drawing first weights, for those that are filled at once; no generator moves."""
    with _NoDraws():
        yield


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """State of an optimizer as tensors named ``<number of the parameter>.<name>``."""
    return {
        f"{index}.{name}": torch.as_tensor(value).detach().clone()
        for index, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def fill_moments(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], path: Path | str) -> None:
    """Give an optimizer exactly what :func:`moments_of` gave.

    Args:
        optimizer: to fill; it stays as it is after an error.
        tensors: by name.
        path: where they come from, for the error.

    Raises:
        FileError: if they are not the state of such an optimizer over its parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        if not (index.isdecimal() and int(index) < len(parameters) and name):
            raise FileError(path, f"expected the state of {len(parameters)} parameters, got {key!r}")
        if value.numel() != 1 and value.shape != parameters[int(index)].shape:
            shape = list(parameters[int(index)].shape)
            raise FileError(path, f"{key}: expected the shape of its parameter, {shape}, got {list(value.shape)}")
        state.setdefault(int(index), {})[name] = value
    names = {frozenset(moments) for moments in state.values()}
    if len(names) > 1:
        raise FileError(path, f"expected the same state of each parameter, got {sorted(map(sorted, names))[:2]}")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class _NoDraws(TorchFunctionMode):
    """Random fillers, and the scaling of what they drew, leave their tensors as they are.

    Scaling too, because on the meta device it would import a compiler, which takes seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name.endswith(("normal_", "uniform_", "orthogonal_")) or name == "normalize":
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if name in ("rand", "randn") else func)(*args, **kwargs)


def _check_names(found: set[str], wanted: set[str], path: Path | str) -> None:
    missing, unknown = sorted(wanted - found), sorted(found - wanted)
    if missing or unknown:
        raise FileError(path, f"missing tensors {missing[:3]}, unknown tensors {unknown[:3]}")


def _check_kind(name: str, dtype: torch.dtype, shape: tuple[int, ...], wanted: torch.Tensor, path: Path | str) -> None:
    # Weights may be stored in half precision; everything else must be exactly what it is, for casting would wrap.
    same_kind = dtype.is_floating_point if wanted.is_floating_point() else dtype == wanted.dtype
    if shape != tuple(wanted.shape) or not same_kind:
        raise FileError(path, f"{name}: expected {wanted.dtype} {list(wanted.shape)}, got {dtype} {list(shape)}")


def _check_finite(name: str, tensor: torch.Tensor, dtype: torch.dtype, path: Path | str) -> None:
    if tensor.is_floating_point() and not bool(tensor.to(dtype).isfinite().all()):
        raise FileError(path, f"{name}: holds values that are not finite, or too large for {dtype}")
