"""scripts/convert_examples.py runs, and docs/convert-examples.md shows what is in it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import convert_examples
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = sorted(convert_examples.EXAMPLES.keys() - {"transformer"})
COMPILED_ALONE = [pytest.param("transformer", marks=pytest.mark.zoo)]
"""Examples whose graph no other test compiles."""


@pytest.mark.parametrize("name", [*SHARED, *COMPILED_ALONE])
def test_an_example_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    convert_examples.main([name])
    assert capsys.readouterr().out.startswith(f"== {name}: ")


def test_an_unknown_example() -> None:
    with pytest.raises(SystemExit, match="there is no example 'cnn'; use some of mlp, batches"):
        convert_examples.main(["cnn"])


def test_the_page_shows_the_script() -> None:
    """But for empty lines, of which a function has fewer."""
    page = (ROOT / "docs" / "convert-examples.md").read_text(encoding="utf-8")
    script = written((ROOT / "scripts" / "convert_examples.py").read_text(encoding="utf-8"))
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= len(convert_examples.EXAMPLES)
    for block in blocks:
        assert written(block) in script or written(textwrap.indent(block, "    ")) in script, block


def written(text: str) -> str:
    """The lines that are not empty."""
    return "\n".join(line for line in text.splitlines() if line.strip())
