"""docs/convert.md as it stands, and docs/convert-support.md as the rules say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from convert_support import PAGE, page

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other, as a reader pastes them; each asserts what it shows."""
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "convert.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, "convert.md", "exec"), names)
    assert "converted are 100.0% of operations" in capsys.readouterr().out


def test_the_table_of_operations_is_that_of_the_rules() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python scripts/convert_support.py"
