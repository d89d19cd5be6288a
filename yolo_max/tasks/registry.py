"""The tasks by name."""

from __future__ import annotations

from typing import Any

from yolo_max.support.errors import UsageError, WeightsError
from yolo_max.support.text import shorten
from yolo_max.tasks.classify.task import CLASSIFY
from yolo_max.tasks.contract import Prediction
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


_RESULTS = {"probs": CLASSIFY, "obb": OBB, "keypoints": POSE, "masks": SEGMENT, "boxes": DETECT}
"""What only the results of a task have, in Ultralytics, from the most telling on."""


def from_ultralytics(result: Any) -> Prediction:
    """What Ultralytics found in an image, as a prediction of this package.

        theirs = from_ultralytics(YOLO("yolov8n.pt")("street.jpg")[0])
        ours = Predictor("yolov8n")("street.jpg")

    Args:
        result: A ``Results`` of one image. A segmentation that found nothing says no more than that it has no
            boxes, so it comes as a detection.

    Raises:
        UsageError: It is something else, or of a task that is not ported.
    """
    task = next((task for name, task in _RESULTS.items() if getattr(result, name, None) is not None), None)
    if task is None or not hasattr(result, "orig_shape"):
        raise UsageError(f"{shorten(result)} is not a result of Ultralytics' with boxes or classes.")
    return task.reference().prediction(result.cpu(), dict(result.names))
