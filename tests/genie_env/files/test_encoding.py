"""Text is UTF-8 whatever the locale: every call that opens text names its encoding."""

from __future__ import annotations

import ast

from tests.test_architecture import FILES, calls, name_of

TEXT = ("open", "read_text", "write_text")
OTHER_OPEN = (
    "os.open",
    "Image.open",
    "tarfile.open",
    "webbrowser.open",
    "archive.open",
    "config.open",
    "self._av.open",
    "av.open",
    "where.open",
)
"""Functions and methods of the same name that open no text."""


def is_text_without_encoding(name: str, call: ast.Call) -> bool:
    if name.split(".")[-1] not in TEXT or name in OTHER_OPEN or name == "write_text" or name.startswith("dataclasses."):
        return False
    if any(keyword.arg in ("encoding", "opener") for keyword in call.keywords):
        return False
    mode = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    return not any(isinstance(value, str) and "b" in value for value in mode if value in ("rb", "wb", "ab", "r+b"))


def test_every_call_that_opens_text_names_its_encoding() -> None:
    wrong = []
    for path in FILES:
        wrong += [f"{name_of(path)}:{c.lineno}: {n}" for n, c in calls(path) if is_text_without_encoding(n, c)]
    assert not wrong
