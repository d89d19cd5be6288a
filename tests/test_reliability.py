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


def functions_of(file: Path) -> dict[str, bool]:
    """The functions of a module, and whether each is left out by `make test`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    whole = any(ast.unparse(node) == "pytestmark = pytest.mark.zoo" for node in tree.body)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        each.name: whole or "pytest.mark.zoo" in map(ast.unparse, each.decorator_list) for each in functions
    }


def test_nothing_else_was_read() -> None:
    assert len(PROMISES) > 30
    assert all(len(cells) == 2 for cells in PROMISES)


@pytest.mark.parametrize(("promise", "shown_by"), PROMISES, ids=[promise[:40] for promise, *_ in PROMISES])
def test_every_promise_is_shown_by_tests_that_there_are(promise: str, shown_by: str) -> None:
    file, shown, zoo = None, False, False
    for name in re.findall(r"`([^`]*)`", shown_by.replace("`make zoo`", "")):
        if name.startswith("scripts/"):
            assert (TESTS.parent / name).is_file()
            continue
        module, _, test = name.partition("::")
        file = TESTS / module if module else file  # "::test" is of the file before
        assert file is not None
        assert test.startswith("test_")
        functions = functions_of(file)
        assert test in functions, name
        shown, zoo = True, zoo or functions[test]
    assert shown, promise
    assert zoo == ("`make zoo`" in shown_by), "who runs it?"
