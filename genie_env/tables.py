"""Tables of text cells, as Markdown and for terminals."""

from __future__ import annotations

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
    """The same table as text for a terminal of ``width`` columns; long cells are broken into lines."""
    from io import StringIO

    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(str(name), overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    text = StringIO()
    Console(file=text, width=width, highlight=False, markup=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _line(cells: Sequence[object]) -> str:
    # A bar or a line break inside a cell would end it.
    texts = (" ".join(str(cell).split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(texts) + " |"
