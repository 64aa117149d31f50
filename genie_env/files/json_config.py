"""Frozen dataclasses that turn into plain JSON and back, refusing whatever does not fit."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise ValueError(message)


@dataclass(frozen=True)
class JsonConfig:
    """A frozen dataclass that turns into plain JSON and back, refusing unknown or missing fields."""

    RETIRED: ClassVar[tuple[str, ...]] = ()
    """Fields that older versions wrote and this one ignores."""

    def to_json(self) -> dict[str, Any]:
        """Return nested dicts, lists, numbers and strings only."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Build from :meth:`to_json` output.

        Raises:
            ValueError: if ``data`` is no object, or has unknown, missing or wrongly typed fields.
        """
        _require(isinstance(data, dict), f"{cls.__name__}: expected an object, got {type(data).__name__}")
        cls = cls.class_for(data)
        data = {name: value for name, value in data.items() if name not in cls.RETIRED}
        hints = typing.get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(data) - set(fields))
        _require(not unknown, f"{cls.__name__}: unknown fields {unknown}; expected {sorted(fields)}")
        values = {k: _typed(hints[k], v, f"{cls.__name__}.{k}") for k, v in data.items()}
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"{cls.__name__}: {error}") from None

    @classmethod
    def class_for(cls, data: dict[str, Any]) -> type[Self]:
        """The class that describes ``data``: this one, where its settings are all of one kind."""
        return cls


def _plain(value: Any) -> Any:
    if isinstance(value, JsonConfig):
        return value.to_json()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _of_any(hints: list[Any], value: Any, where: str) -> Any:
    """``value`` as the first of several hints that it fits; of the last one the error is the answer."""
    for hint in hints[:-1]:
        with contextlib.suppress(ValueError):
            return _typed(hint, value, where)
    return _typed(hints[-1], value, where)


def _typed(hint: Any, value: Any, where: str) -> Any:
    """Check ``value`` against a type hint, turning lists into tuples and objects into configs."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _of_any([a for a in args if a is not type(None)], value, where)
    if origin is tuple:
        _require(isinstance(value, (list, tuple)), f"{where}: expected a list, got {value!r}")
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_typed(args[0], v, where) for v in value)
        _require(len(value) == len(args), f"{where}: expected {len(args)} values, got {value!r}")
        return tuple(_typed(a, v, where) for a, v in zip(args, value, strict=True))
    if origin is dict:
        _require(isinstance(value, dict), f"{where}: expected an object, got {value!r}")
        return {k: _typed(args[1], v, where) for k, v in value.items()}
    if origin is typing.Literal:
        _require(value in args, f"{where}: expected one of {list(args)}, got {value!r}")
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else hint.from_json(value)  # type: ignore[attr-defined]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        _require(abs(value) < 2**1000, f"{where}: expected a smaller number")
        return float(value)
    _require(
        isinstance(value, hint) and not (hint is int and isinstance(value, bool)),
        f"{where}: expected {hint.__name__}, got {value!r}",
    )
    return value
