"""Only the packages of the tasks know one task from another."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_packages import imported

import yolo_max
from yolo_max.images.transforms import fit_of
from yolo_max.tasks.registry import TASKS
from yolo_max.verify.val.metrics import METRICS

ROOT = Path(yolo_max.__file__).parent
OUTSIDE = sorted(path for path in ROOT.rglob("*.py") if not path.is_relative_to(ROOT / "tasks"))


def decides_by_task(source: str) -> Iterator[int]:
    """The lines that compare with a task's name or anything called a task, or look one up by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [
                node.subject,
                *(each.value for each in ast.walk(node) if isinstance(each, ast.MatchValue)),
            ]
        elif isinstance(node, ast.Subscript):
            sides = [node.slice] if _is_task_name(node.slice) else []
        elif isinstance(node, ast.Dict):
            sides = [key for key in node.keys if key is not None and _is_task_name(key)]
        else:
            continue
        if any(_is_task_name(part) or _is_called_task(part) for side in sides for part in ast.walk(side)):
            yield node.lineno


def _is_task_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in TASKS


def _is_called_task(node: ast.AST) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name == "task"


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_outside_tasks_decides_by_task(path: Path) -> None:
    assert list(decides_by_task(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        'if meta.task == "detect": ...',
        "if task is DETECT: ...",
        'x = 1 if name in ("classify", "pose") else 2',
        'match name:\n    case "classify": ...',
        "match predictor.task:\n    case _: ...",
        'transform = {"detect": 1}[name]',
        'metric = METRICS["classify"]',
        "if self.task.name != other: ...",
    ],
)
def test_a_decision_by_task_is_noticed(source: str) -> None:
    assert list(decides_by_task(source))


MAY_KNOW_A_TASK = {
    # the public names
    "__init__": {
        *("detect.detections", "classify.classification"),
        *("obb.rotated_detections", "pose.poses", "segment.segmentation"),
    },
    "predict.detector": {"detect.detections"},  # `Detector`, the predictor for one task
    # a metric measures one kind of prediction
    "verify.val.evaluate": {"detect.detections"},
    "verify.val.objects": {"detect.matching"},
    "verify.val.masks": {"segment.masks"},
    "verify.val.accuracy": {"classify.classification"},
    "verify.val.report.sheet": {"pose.skeleton"},  # labels are drawn as predictions are
    "verify.val.rotated": {"obb.rotated_detections", "obb.probiou"},
}
"""Which modules outside the package import from the package of one task, and what."""


def test_hardly_anything_outside_tasks_imports_from_one_task() -> None:
    found: dict[str, set[str]] = {}
    for path in OUTSIDE:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for other in imported(module):
            task, _, rest = other.removeprefix("tasks.").partition(".")
            if other.startswith("tasks.") and task in TASKS:
                found.setdefault(module, set()).add(f"{task}.{rest}")
    assert found == MAY_KNOW_A_TASK


@pytest.mark.parametrize("name", TASKS)
def test_a_task_names_an_existing_transform_and_metric(name: str) -> None:
    task = TASKS[name]
    assert task.name == name
    assert fit_of(task.fit, (64, 64))((30, 40)).canvas_size == (64, 64)
    assert task.metric in METRICS


def test_predicting_imports_nothing_that_compares() -> None:
    code = "import sys, yolo_max.predict.predictor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    compares = {f"yolo_max.tasks.{name}" for name in ("rubric", "comparison", "reference")}
    compares |= {f"yolo_max.tasks.{task}.{name}" for task in TASKS for name in ("comparison", "reference")}
    assert not compares & set(done.stdout.split())
