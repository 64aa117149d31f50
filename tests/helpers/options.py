"""The docstrings of a dataclass's fields, which are its only description. Nothing here asserts anything."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap


def field_docs(kind: type) -> dict[str, str]:
    """Name of each field to its docstring, on one line; fields without one are missing."""
    (body,) = (node.body for node in ast.parse(textwrap.dedent(inspect.getsource(kind))).body)
    found = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def option_rows(kind: type, quote: str) -> list[str]:
    """Rows of a Markdown table: name, docstring and default of each field."""
    docs = field_docs(kind)
    rows = []
    for field in dataclasses.fields(kind):
        default = f'"{field.default}"' if isinstance(field.default, str) else repr(field.default)
        rows.append(f"| {quote}{field.name}{quote} | {docs[field.name]} | {quote}{default}{quote} |")
    return rows
