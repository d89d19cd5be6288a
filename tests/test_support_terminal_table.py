from __future__ import annotations

import pytest
from rich.console import Console

from yolo_max.support.terminal_table import grid, parts

HEADERS = ("engine", "p50", "times as\nfast", "note")
ROWS = [["PyTorch eager", "66.9", "1.00", "–"], ["MAX [bold]x[/]", "1,042.7", "1.58", "–"]]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (80, [[0, 1, 2, 3]]),
        (14 + 2 + 7 + 2 + 8 + 2 + 4, [[0, 1, 2, 3]]),  # just fits
        (14 + 2 + 7 + 2 + 8 + 2 + 3, [[0, 1, 2], [0, 3]]),  # a character short
        (14 + 2 + 8, [[0, 1], [0, 2], [0, 3]]),
        (5, [[0, 1], [0, 2], [0, 3]]),  # nothing fits: one column at a time
    ],
)
def test_columns_that_fit_stay_together(width: int, expected: list[list[int]]) -> None:
    assert parts(HEADERS, ROWS, width) == expected


@pytest.mark.parametrize("width", [24, 30, 40, 80])
def test_every_cell_is_printed_whole(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    for columns in parts(HEADERS, ROWS, width):
        Console(width=width).print(grid(HEADERS, ROWS, columns))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in printed
    for row in ROWS:
        for cell in row:
            assert cell in printed  # brackets and all: nothing is markup


def test_long_words_are_folded_and_figures_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["x" * 50, "0.1234"]]
    (columns,) = parts(["name", "figure"], rows, 30)
    Console(width=30).print(grid(["name", "figure"], rows, columns))
    printed = capsys.readouterr().out
    assert "0.1234" in printed
    assert printed.count("x") == 50


def test_columns_of_words_share_the_width(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["MAX", "absent: this CPU has none of the instructions that it takes"]]
    (columns,) = parts(["engine", "state"], rows, 40, figures=False)
    Console(width=40).print(grid(["engine", "state"], rows, columns, figures=False))
    printed = capsys.readouterr().out
    assert " ".join(printed.split()).endswith(rows[0][1])


def test_a_table_of_names_alone() -> None:
    assert parts(["name"], [["a"]], 1) == [[0]]
    assert parts(["name"], [], 1) == [[0]]
