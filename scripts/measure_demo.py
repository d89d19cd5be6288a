"""Measure weights on drawn scenes that they were never trained on.

    python scripts/measure_demo.py yolo_max/weights/bundled/yolov8n-shapes.safetensors --scenes 500

The network is Ultralytics' module, and its validator judges, with its own thresholds: boxes, masks, keypoints
or rotated boxes by mAP. Of classes, the first counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from make_demo_images import write_scenes
from shapes.batches import collate, sample
from shapes.series import SERIES

from yolo_max.engine.torch_module import build_module
from yolo_max.weights.load import Weights, load_weights

VALIDATION_SEED = 1  # a series of scenes; 0 is for training, the bundled images are from 39
BATCH = 4  # NMS stops after two seconds, however many images there are: a slow machine would lose some


@dataclass(frozen=True)
class Accuracy:
    """What was measured.

    Attributes:
        task: The network's.
        imgsz: The side of the letterboxed scenes, in pixels.
        scenes: Number of scenes.
        columns: Names of the figures, such as AP50-95.
        rows: The figures under "all", and for each class.
    """

    task: str
    imgsz: int
    scenes: int
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]

    def line(self) -> str:
        """The means, in one line."""
        means = zip(self.columns, self.rows["all"], strict=True)
        figures = "  ".join(f"{name} {figure:.4f}" for name, figure in means)
        return f"{self.task}: {figures}  ({self.scenes} scenes, {self.imgsz} px)"

    def table(self) -> str:
        """Everything, as a Markdown table."""
        head = ["class", *self.columns]
        rows = [[name, *(f"{figure:.3f}" for figure in figures)] for name, figures in self.rows.items()]
        return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def module_of(weights: Weights) -> Any:
    """The network as Ultralytics runs it: `TorchEngine`'s heads do not decode what its validator reads."""
    return build_module(weights).eval().fuse(verbose=False).to(memory_format=torch.channels_last)


def measure(model: Any, task: str, imgsz: int, scenes: int = 500) -> Accuracy:
    """Measure a network on the first `scenes` of the validation series, letterboxed to `imgsz`."""
    model.eval()
    if task == "classify":
        return _measure_classes(model, imgsz, scenes)
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder), VALIDATION_SEED, scenes, labels=True, task=task)
        metrics = _validate(model, task, imgsz, Path(folder))
    # After the boxes' come those of what the task adds to them.
    kinds = {"detect": ("box",), "segment": ("box", "seg"), "pose": ("box", "pose"), "obb": ("box",)}[task]
    judged = [getattr(metrics, kind) for kind in kinds]
    names = {"box": "rotated box" if task == "obb" else "box", "seg": "mask", "pose": "keypoints"}
    rows = {"all": tuple(figure for one in judged for figure in (one.map, one.map50))}
    for place, class_id in enumerate(judged[0].ap_class_index):
        figures = (float(figure[place]) for one in judged for figure in (one.ap, one.ap50))
        rows[SERIES[task].names[class_id]] = tuple(figures)
    columns = tuple(f"{names[kind]} {figure}" for kind in kinds for figure in ("AP50-95", "AP50"))
    return Accuracy(task, imgsz, scenes, columns, rows)


def _validate(model: Any, task: str, imgsz: int, folder: Path) -> Any:
    """Have Ultralytics' validator judge a network on a data set; returns its metrics."""
    from ultralytics.models import yolo
    from ultralytics.utils.nms import TorchNMS

    validators = {
        "detect": yolo.detect.DetectionValidator,
        "segment": yolo.segment.SegmentationValidator,
        "pose": yolo.pose.PoseValidator,
        "obb": yolo.obb.OBBValidator,
    }
    options = {
        "data": str(folder / "data.yaml"),
        "imgsz": imgsz,
        "batch": BATCH,
        "rect": False,
        "plots": False,
        "workers": 0,
        "device": "cpu",
        "project": str(folder),
        "verbose": False,
    }
    # All that the validator wants of torchvision is its NMS. Ultralytics has one that keeps the same boxes,
    # also where the wheel's compiled operators are for another build of PyTorch.
    torchvision = SimpleNamespace(ops=SimpleNamespace(nms=TorchNMS.nms))
    with mock.patch.dict(sys.modules, {"torchvision": torchvision}):
        validator = validators[task](args=options)
        validator(model=model)
    return validator.metrics


def _measure_classes(model: Any, imgsz: int, scenes: int) -> Accuracy:
    """The share of scenes whose class comes first."""
    names = SERIES["classify"].names
    right = dict.fromkeys(names, 0)
    shown = dict.fromkeys(names, 0)
    for index in range(scenes):
        scene = SERIES["classify"].draw(VALIDATION_SEED, index, (2 * imgsz, 2 * imgsz))
        with torch.inference_mode():
            scores = model(collate("classify", [sample(scene, imgsz)])["img"])
        first = int((scores[0] if isinstance(scores, tuple) else scores).argmax())
        name = names[scene.classes[0]]
        shown[name] += 1
        right[name] += first == scene.classes[0]
    rows: dict[str, tuple[float, ...]] = {"all": (sum(right.values()) / scenes,)}
    rows |= {name: (right[name] / max(1, shown[name]),) for name in names}
    return Accuracy("classify", imgsz, scenes, ("top-1",), rows)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure weights on drawn scenes that they have not seen.")
    parser.add_argument("weights", type=Path, help=".pt from train_demo.py, or .safetensors made of it")
    parser.add_argument("--scenes", type=int, default=500, help="how many (default: 500)")
    parser.add_argument("--imgsz", type=int, help="letterboxed to (default: the weights' own)")
    arguments = parser.parse_args()
    weights = load_weights(arguments.weights)
    meta = weights.meta
    accuracy = measure(module_of(weights), meta.task, arguments.imgsz or meta.imgsz, arguments.scenes)
    print(accuracy.line())
    print(accuracy.table())


if __name__ == "__main__":
    main()
