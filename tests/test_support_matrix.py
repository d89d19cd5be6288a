"""docs/support-matrix.md says what the code does, and each of its rows is tested."""

from __future__ import annotations

import re

import pytest
import support_matrix
from families import NAMES, SMALLEST, table

from yolo_max.model.architecture import parse_architecture
from yolo_max.support.errors import WeightsError
from yolo_max.weights.analysis.tables import read_table, shipped

PAGE = support_matrix.PAGE.read_text(encoding="utf-8")


def rows(test: str) -> set[str]:
    """The tables that a test shows."""
    return {
        match[1] for match in re.finditer(r"^\| [^|]+\| `([^`]+)` .*", PAGE, re.MULTILINE) if test in match[0]
    }


def tables(names: list[str]) -> set[str]:
    """The tables of networks, whatever their size."""
    return {read_table(f"{name}.yaml")[0].stem for name in names}


def test_the_page_is_up_to_date() -> None:
    assert support_matrix.page() == PAGE, "run scripts/support_matrix.py"


def test_every_table_has_one_row() -> None:
    found = [rows(test) for test in (support_matrix.WIRED, support_matrix.BUILT, support_matrix.REFUSED)]
    assert set.union(*found) == {path.stem for path in shipped()}
    assert sum(map(len, found)) == len(shipped())


def test_every_ported_table_is_in_the_tests_that_its_row_names() -> None:
    assert rows(support_matrix.WIRED) == tables(SMALLEST)
    assert rows(support_matrix.BUILT) == tables(NAMES) - tables(SMALLEST)


@pytest.mark.parametrize("name", sorted(rows(support_matrix.REFUSED)))
def test_what_is_not_ported_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match="not ported"):
        parse_architecture(table(name)).require()


def test_every_block_that_is_not_ported_has_a_reason() -> None:
    assert "unknown block" not in PAGE
