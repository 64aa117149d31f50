"""Tables of text cells, as Markdown and as aligned text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table with one line for each row; the last line ends with a newline.

    Raises:
        ValueError: if a row has another number of cells than the header.
    """
    lines = [_line(header), "|" + "---|" * len(header)]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"expected {len(header)} cells as in the header {list(header)}, got {list(row)}")
        lines.append(_line(row))
    return "\n".join(lines) + "\n"


def text_table(header: Sequence[object], rows: Iterable[Sequence[object]], width: int = 80) -> str:
    """Aligned columns, the first to the left and wrapped where a line would be longer than ``width`` characters."""
    lines = [[str(cell) for cell in line] for line in (header, *rows)]
    others = [max(len(line[column]) for line in lines) for column in range(1, len(header))]
    first = min(max(len(line[0]) for line in lines), max(10, width - sum(others) - 2 * len(others)))
    text = []
    for label, *cells in lines:
        *above, last = textwrap.wrap(label, first) or [""]
        ends = [cell.rjust(size) for cell, size in zip(cells, others, strict=True)]
        text += [*above, "  ".join([last.ljust(first), *ends]).rstrip()]
    return "\n".join(text) + "\n"


def _line(cells: Sequence[object]) -> str:
    # A bar or a line break inside a cell would end it.
    texts = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(texts) + " |"
