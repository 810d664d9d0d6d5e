"""Aligned columns for a terminal: no frames, and no line is folded, so that names and addresses can be copied whole."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

Cell = str | Text
GAP = "  "


def show_columns(
    console: Console, head: Sequence[str], rows: Sequence[Sequence[Cell]], *, right: Sequence[int] = (), indent: int = 0
) -> None:
    """Print *head* and *rows*; the columns numbered in *right* are set to the right. Empty *rows* print nothing.

    A row of one cell is a heading: it stands alone on its line and widens no column.
    """
    if not rows:
        return
    texts = [[Text(cell, style="bold") for cell in head], *([_text(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(row[number].plain) for row in texts if len(row) > 1) for number in range(len(head))]
    for row in texts:
        line = Text(" " * indent)
        for number, cell in enumerate(row):
            space = " " * (max(widths[number] - cell_len(cell.plain), 0) if len(row) > 1 else 0)
            line.append_text(Text(space) + cell if number in right else cell + Text(space))
            line.append(GAP)
        line.rstrip()
        console.print(line, soft_wrap=True, highlight=False)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)
