"""Help: what it says and how it looks."""

from __future__ import annotations

from typing import Any

import pytest

from yolo_max.cli import run
from yolo_max.support.errors import ExitCode


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal(columns: int, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", columns)
    assert run(["predict", "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    for code in ExitCode:
        if code is not ExitCode.PARITY:  # of `compare`
            assert f" {int(code)} " in text.replace("\n", " ")


COMMANDS = ["", "predict", "detect", "compare", "val", "bench", "serve", "weights", "convert", "cache"]
COMMANDS += [
    "weights convert",
    "weights info",
    "weights fetch",
    "weights analyze",
    "convert analyze",
    "convert export",
    "weights compile",
    "cache info",
    "cache clear",
]


@pytest.mark.parametrize("columns", [50, 80])
@pytest.mark.parametrize("command", COMMANDS)
def test_all_help_looks_alike(command: str, columns: int, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", columns)
    assert run([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    for typers in ("<", "{", "}", ">"):  # types of Python and braces, which typer shows unless told
        assert typers not in text
    assert "--debug" in text or command in ("weights", "convert", "cache")
    if command:
        lines = [
            line.split(maxsplit=1)[0] for line in text.partition("Exit codes")[2].splitlines() if line.strip()
        ]
        codes = [int(word) for word in lines if word.isdecimal()]
        assert codes == sorted(codes)
        assert {0, 1, 2, 130} <= set(codes) <= {int(code) for code in ExitCode}


def test_paragraphs_of_help_are_broken_by_the_terminal_only(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)
    assert run(["compare", "--help"]) == 0
    assert "compare.json and report.html, and says" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["weights", "convert", "cache"])
def test_a_group_without_a_command_prints_its_help(command: str, capsys: Any) -> None:
    assert run([command]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert f"Usage: yolo-max {command}" in captured.out
    assert captured.err == ""
