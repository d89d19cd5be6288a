"""Detector: a predictor for weights that detect."""

from __future__ import annotations

from typing import Any

from yolo_max.images.read import ImageSource
from yolo_max.predict.predictor import Predictor
from yolo_max.tasks.detect.detections import Detections


class Detector(Predictor):
    """Finds objects in images.

        detector = Detector("yolov8n")
        for box in detector("street.jpg"):
            print(box.class_name, box.confidence, box.xyxy)

    Raises a `WeightsError` for weights of another task.
    """

    predicts = Detections

    def __call__(self, image: ImageSource, **changes: Any) -> Detections:
        """Finds the objects in one image; see `Predictor`."""
        found = super().__call__(image, **changes)
        assert isinstance(found, Detections)
        return found
