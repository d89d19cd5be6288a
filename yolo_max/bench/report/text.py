"""Tables in the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from yolo_max.bench.report.tables import Table
from yolo_max.support.terminal_table import grid, parts

if TYPE_CHECKING:
    from rich.console import Console


def show(tables: Sequence[Table], sentences: Sequence[str], console: Console) -> None:
    """Prints the tables, then the main sentences in bold."""
    from rich.text import Text

    for table in tables:
        console.print(Text(table.title, "bold"))
        for columns in parts(table.headers, table.rows, console.width, figures=table.figures):
            console.print(grid(table.headers, table.rows, columns, figures=table.figures))
        for note in table.notes:
            console.print(Text(note, "dim"))
        console.print()
    for sentence in sentences:
        console.print(Text(sentence, "bold"))


def markdown(table: Table) -> str:
    """A table as GitHub's Markdown, notes below."""
    align = ["---", *(["---:" if table.figures else "---"] * (len(table.headers) - 1))]
    lines = [
        f"**{_cell(table.title)}**",
        "",
        *(f"| {' | '.join(map(_cell, row))} |" for row in (table.whole_headers, align, *table.rows)),
    ]
    if table.notes:
        lines += ["", " ".join(map(_cell, table.notes))]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", r"\|").replace("*", r"\*")
