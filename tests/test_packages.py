"""The packages import each other in one direction, imports inside of functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import yolo_max

ROOT = Path(yolo_max.__file__).parent
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}


def imported(package: str) -> Iterator[str]:
    """The other packages that any module of a package names in an import."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{each.name}" for each in node.names]
            elif isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            else:
                continue
            for name in names:
                top, _, rest = name.partition(".")
                if top == "yolo_max" and (other := rest.partition(".")[0]) in PACKAGES - {package}:
                    yield other


def test_no_two_packages_need_each_other() -> None:
    graph = {package: set(imported(package)) for package in PACKAGES}
    assert {"images", "engine", "postprocess", "nn"} <= PACKAGES
    assert {"nn", "weights"} <= graph["engine"]  # so the imports are seen, also those inside of functions
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_the_port_knows_the_table_and_nothing_else() -> None:
    assert set(imported("nn")) == set()
