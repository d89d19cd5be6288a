"""The tasks by name."""

from __future__ import annotations

from yolo_max.tasks.detect.task import DETECT

TASKS = {task.name: task for task in (DETECT,)}
