"""Markdown tables keep their shape whatever is in their cells."""

from __future__ import annotations

import pytest

from genie_env.tables import markdown_table


def test_a_table_has_a_header_a_rule_and_a_line_for_each_row() -> None:
    assert markdown_table(["a", "b"], [[1, "x"], ["", 2.5]]) == "| a | b |\n|---|---|\n| 1 | x |\n|  | 2.5 |\n"
    assert markdown_table(["a"], []) == "| a |\n|---|\n"


def test_bars_and_line_breaks_stay_inside_their_cell() -> None:
    text = markdown_table(["a", "b"], [["x|y", "one\ntwo"]])
    assert text.splitlines()[-1] == r"| x\|y | one two |"


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected 2 cells .* got \['x'\]"):
        markdown_table(["a", "b"], [["x"]])
