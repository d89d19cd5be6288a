"""The tasks by name."""

from __future__ import annotations

from yolo_max.support.errors import WeightsError
from yolo_max.tasks.classify.task import CLASSIFY
from yolo_max.tasks.detect.task import DETECT
from yolo_max.tasks.obb.task import OBB
from yolo_max.tasks.pose.task import POSE
from yolo_max.tasks.segment.task import SEGMENT
from yolo_max.tasks.task import Task
from yolo_max.weights.meta import ModelMeta

TASKS = {task.name: task for task in (DETECT, SEGMENT, POSE, OBB, CLASSIFY)}


def task_of(meta: ModelMeta) -> Task:
    """The task that a model was trained for."""
    return TASKS[meta.task]


def require_task(meta: ModelMeta, prediction: type, user: str) -> None:
    """Refuses weights for another task.

    Args:
        meta: The weights' metadata.
        prediction: The type of prediction that is needed; object for any.
        user: What needs it, for the message.

    Raises:
        WeightsError: The weights are for another task.
    """
    task = task_of(meta)
    if prediction not in (object, task.prediction):
        raise WeightsError(f"the weights are for the task {task.name}, which {user} does not support.")
