"""What the pages under docs/ name is there."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "yolo_max"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs").glob("*.md")}
OTHERS_FILES = {"ultralytics/nn/modules/block.py"}


def named_files(text: str) -> set[str]:
    """The sources, pages and folders that a page names, by paths in backticks or at the start of them."""
    return set(re.findall(r"`((?:\w+/)+(?:\w+\.(?:py|mojo|md))?)`", text)) - OTHERS_FILES


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    missing = [
        name
        for name in sorted(named_files(PAGES[page]))
        if not any((place / name).exists() for place in (REPOSITORY, PACKAGE))
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_named_tests_exist(page: str) -> None:
    source = ""
    for file, test in re.findall(r"`(?:tests/)?(test_\w+\.py)?::(test_\w+)`", PAGES[page]):
        source = (REPOSITORY / "tests" / file).read_text(encoding="utf-8") if file else source
        assert f"def {test}(" in source, test


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    prose = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#]+)", prose) if "://" not in link]
    assert [link for link in links if not (REPOSITORY / "docs" / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_code_are_told_their_language_alone(page: str) -> None:
    """The site takes one with anything else for text."""
    assert re.findall(r"^```\w+ .*", PAGES[page], re.MULTILINE) == []


def test_every_page_is_in_the_list_of_the_site() -> None:
    listed = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert {page for page in PAGES if page not in re.findall(r"[\w-]+\.md", listed)} == set()


def test_every_extra_is_in_the_table_of_extras() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = re.findall(r"^\| (`\[.*?) \|", PAGES["installing.md"], re.MULTILINE)
    listed = re.findall(r"\[(\w+)\]", " ".join(rows))
    others = {"dev", "val"}  # val is eval's old name
    assert sorted(listed) == sorted(project["optional-dependencies"].keys() - others)


def test_the_map_has_the_rooms_in_the_order_of_imports() -> None:
    from test_packages import FLOORS

    rooms = re.findall(r"^\| `(\w+)/` \| \w", PAGES["architecture.md"], re.MULTILINE)
    assert set(rooms) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    floors = [next(i for i, floor in enumerate(FLOORS) if room in floor) for room in rooms]
    assert floors == sorted(floors)


@pytest.mark.parametrize(
    "package",
    [each for each in PACKAGE.rglob("__init__.py") if each.parent != PACKAGE],
    ids=lambda p: p.parent.name,
)
def test_a_package_lists_its_modules(package: Path) -> None:
    listed = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    modules = {path.name for path in package.parent.glob("*.py")} - {"__init__.py"}
    assert {name for name in modules if name not in listed} == set()
