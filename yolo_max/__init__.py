"""yolo_max: YOLO ported by hand onto Modular MAX.

Data flows one way, and the rooms follow it:

    images ──► transform ──► engine (MAX | PyTorch) ──► task: decode ──► prediction ──► draw, write, compare
    ╰────── images/ ─────╯   engine/ model/ kernels/       tasks/        output/ predict/ verify/

`Predictor` in ``predict/`` puts the stages together; `load_weights` in ``weights/`` brings the network.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yolo_max.predict.detector import Detector
    from yolo_max.predict.picture import draw, save
    from yolo_max.predict.predictor import Predictor
    from yolo_max.predict.result import Result
    from yolo_max.support.errors import YoloMaxError
    from yolo_max.tasks.classify.classification import Classification
    from yolo_max.tasks.detect.detections import Box, Detections
    from yolo_max.tasks.obb.rotated_detections import RotatedBox, RotatedDetections
    from yolo_max.tasks.pose.poses import Poses
    from yolo_max.tasks.registry import from_ultralytics
    from yolo_max.tasks.segment.segmentation import Segmentation
    from yolo_max.weights.load import load_weights

    __version__: str

__all__ = [
    "Box",
    "Classification",
    "Detections",
    "Detector",
    "Poses",
    "Predictor",
    "Result",
    "RotatedBox",
    "RotatedDetections",
    "Segmentation",
    "YoloMaxError",
    "__version__",
    "draw",
    "from_ultralytics",
    "load_weights",
    "save",
]

_HOMES = {
    "Box": "yolo_max.tasks.detect.detections",
    "Classification": "yolo_max.tasks.classify.classification",
    "Detections": "yolo_max.tasks.detect.detections",
    "Detector": "yolo_max.predict.detector",
    "Poses": "yolo_max.tasks.pose.poses",
    "Predictor": "yolo_max.predict.predictor",
    "Result": "yolo_max.predict.result",
    "RotatedBox": "yolo_max.tasks.obb.rotated_detections",
    "RotatedDetections": "yolo_max.tasks.obb.rotated_detections",
    "Segmentation": "yolo_max.tasks.segment.segmentation",
    "YoloMaxError": "yolo_max.support.errors",
    "draw": "yolo_max.predict.picture",
    "from_ultralytics": "yolo_max.tasks.registry",
    "load_weights": "yolo_max.weights.load",
    "save": "yolo_max.predict.picture",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: importing the package costs nothing."""
    if name == "__version__":
        from importlib.metadata import version

        return version("yolo-max")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
