"""Information of several groups of rows as that of one vector environment. Knows nothing of Ray."""

from __future__ import annotations

from typing import Any

import numpy as np


def merged_infos(infos: list[dict[str, Any] | None], rows: list[int]) -> dict[str, Any]:
    """Join the information of groups of rows.

    Args:
        infos: of each group; a name that only some have is zero, False or None in the others' rows; so is every name
            of a group without any.
        rows: number of rows of each group.
    """
    names = list(dict.fromkeys(name for info in infos if info is not None for name in info))
    return {name: _joined([(info or {}).get(name) for info in infos], rows) for name in names}


def _joined(values: list[Any], rows: list[int]) -> Any:
    given = [value for value in values if value is not None]
    if isinstance(given[0], dict):
        return merged_infos(values, rows)
    kind = given[0].dtype
    if kind == np.object_:
        # What came from another process may lie in memory that cannot be written.
        found = [None if x is None else x.copy() for v, n in zip(values, rows, strict=True) for x in _objects(v, n)]
        column = np.full(sum(rows), None, dtype=object)
        for row, value in enumerate(found):
            column[row] = value
        return column
    parts = [np.zeros(n, kind) if value is None else value for value, n in zip(values, rows, strict=True)]
    return np.concatenate(parts)


def _objects(values: np.ndarray | None, count: int) -> list[Any]:
    return [None] * count if values is None else list(values)
