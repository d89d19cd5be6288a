"""The tasks by name."""

from __future__ import annotations

from yolo_max.tasks.classify.task import CLASSIFY
from yolo_max.tasks.contract import Task
from yolo_max.tasks.detect.task import DETECT
from yolo_max.weights.meta import ModelMeta

TASKS = {task.name: task for task in (DETECT, CLASSIFY)}


def task_of(meta: ModelMeta) -> Task:
    """The task that a model was trained for."""
    return TASKS[getattr(meta, "task", "detect")]
