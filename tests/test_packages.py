"""Imports run one way, from the rooms at the top of the house to those below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import yolo_max

ROOT = Path(yolo_max.__file__).parent

FLOORS = (
    {"cli"},
    {"bench", "serve"},  # neither imports the other
    {"verify"},
    {"ray"},
    {"predict"},
    {"convert"},
    {"output", "images"},  # neither imports the other
    {"engine"},
    {"tasks"},
    {"weights"},
    {"model"},
    {"runtime"},
    {"kernels"},
    {"support"},
)
"""The rooms from the roof to the cellar: a module imports its own room and those on lower floors."""

APART = {
    ("bench", "verify.compare"),  # a bench measures with the rubric's numbers, and reads no other report
    ("bench", "verify.val"),
    ("verify.compare", "verify.val"),
    ("verify.val", "verify.compare"),
}
"""Places on one floor, or on two, that know nothing of each other all the same."""

MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.rglob("*.py"))


def imported(module: str) -> Iterator[str]:
    """The modules of ours that a module imports, inside functions too, without the package's own name."""
    source = (ROOT / module.replace(".", "/")).with_suffix(".py")
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            names = [f"{node.module}.{each.name}" for each in node.names]
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        else:
            continue
        for name in names:
            if name.startswith("yolo_max."):
                yield module_of(name.removeprefix("yolo_max."))


def module_of(name: str) -> str:
    """The module that a dotted name is, or is in."""
    while name not in MODULES and f"{name}.__init__" not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


def floor(module: str) -> int:
    """How far down the house a module lies."""
    (level,) = (i for i, rooms in enumerate(FLOORS) if module.partition(".")[0] in rooms)
    return level


def runs_down(module: str, other: str) -> bool:
    """Whether a module may import another."""
    if any(module.startswith(f"{a}.") and other.startswith(f"{b}.") for a, b in APART):
        return False
    same_room = module.partition(".")[0] == other.partition(".")[0]
    return same_room or floor(module) < floor(other)


IN_ROOMS = [module for module in MODULES if "." in module]


def test_every_module_is_in_a_room() -> None:
    assert {module for module in MODULES if "." not in module} == {"__init__", "__main__"}
    assert {module.partition(".")[0] for module in IN_ROOMS} <= set().union(*FLOORS)


@pytest.mark.parametrize("module", IN_ROOMS)
def test_imports_run_down(module: str) -> None:
    others = {other for other in imported(module) if "." in other}
    wrong = {(module, other) for other in others if not runs_down(module, other)}
    assert wrong == set()


def test_the_imports_are_seen() -> None:
    assert "engine.max_engine" in set(imported("engine.choose"))  # inside a function
    assert "runtime.threads" in set(imported("engine.max_engine"))  # a module out of a package


def test_no_two_modules_need_each_other() -> None:
    graph = {module: set(imported(module)) - {module} for module in IN_ROOMS}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
