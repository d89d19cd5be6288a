"""Detector: a predictor for weights that detect."""

from __future__ import annotations

from typing import Any, overload

from yolo_max.images.read import ImageSource
from yolo_max.predict.predictor import Predictor, Several
from yolo_max.tasks.detect.detections import Detections


class Detector(Predictor):
    """Finds objects in images.

        detector = Detector("yolov8n")
        for box in detector("street.jpg"):
            print(box.class_name, box.confidence, box.xyxy)

    Raises a `WeightsError` for weights of another task.
    """

    predicts = Detections

    @overload
    def __call__(self, image: ImageSource, **changes: Any) -> Detections: ...
    @overload
    def __call__(self, image: Several, **changes: Any) -> list[Detections]: ...
    def __call__(self, image: ImageSource | Several, **changes: Any) -> Any:
        """Finds the objects in one image, or in each of a list; see `Predictor`."""
        return super().__call__(image, **changes)
