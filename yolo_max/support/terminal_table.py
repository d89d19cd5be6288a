"""Tables for terminals of any width: split by columns where they do not fit, and numbers are never cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Spaces between columns."""
NARROW = 20
"""Text may be wrapped to this many characters; numbers may not."""


def parts(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, figures: bool = True
) -> list[list[int]]:
    """Splits the columns into parts that fit the terminal.

    Args:
        headers: One per column; the first column names the rows. Line breaks are allowed.
        rows: Cells of text.
        width: Characters per line.
        figures: Whether all columns but the first hold numbers, not text.

    Returns:
        Column indices of each part, in order; every part begins with the first column.
    """
    first, *needed = (
        _min_width(column, words=not (i and figures)) for i, column in enumerate(_columns(headers, rows))
    )
    found: list[list[int]] = [[0]]
    used = first
    for column, needs in enumerate(needed, 1):
        if used + GAP + needs > width and len(found[-1]) > 1:
            found.append([0])
            used = first
        found[-1].append(column)
        used += GAP + needs
    return found


def grid(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: Sequence[int],
    *,
    figures: bool = True,
    styles: Sequence[str] = (),
) -> Table:
    """A table of some of the columns.

    Args:
        headers: As `parts` takes them.
        rows: As `parts` takes them; plain text, not markup.
        columns: One of the parts.
        figures: As `parts` takes it.
        styles: Rich's style of each row, "" for none; empty for no styles.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        figure = figures and column > 0
        table.add_column(
            Text(headers[column]),
            justify="right" if figure else "left",
            vertical="top",
            no_wrap=figure,
            overflow="fold",
        )
    for i, row in enumerate(rows):
        table.add_row(*(Text(row[column]) for column in columns), style=styles[i] if styles else "")
    return table


def _columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[header, *(row[i] for row in rows)] for i, header in enumerate(headers)]


def _min_width(cells: Sequence[str], *, words: bool) -> int:
    """Characters that a column needs: its longest line; for text at most `NARROW`."""
    from rich.cells import cell_len

    longest = max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)
    return min(longest, NARROW) if words else longest
