"""docs/reliability.md and docs/security.md name a test for each promise, and each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PROMISES = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for document in ("reliability.md", "security.md")
    for line in (TESTS.parent / "docs" / document).read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| Promise |", "| --- |"))
]


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_nothing_else_was_read() -> None:
    assert len(PROMISES) > 30
    assert all(len(cells) == 2 for cells in PROMISES)


@pytest.mark.parametrize(("promise", "shown_by"), PROMISES, ids=[promise[:40] for promise, *_ in PROMISES])
def test_every_promise_is_shown_by_tests_that_there_are(promise: str, shown_by: str) -> None:
    file, shown = None, False
    for name in re.findall(r"`([^`]*)`", shown_by):
        if name.startswith("scripts/"):
            assert (TESTS.parent / name).is_file()
            continue
        module, _, test = name.partition("::")
        file = TESTS / module if module else file  # "::test" is of the file before
        assert file is not None
        assert test.startswith("test_")
        assert test in functions_of(file), name
        shown = True
    assert shown, promise
