"""Measure the shape detector: average precision on scenes that were never trained on.

    python scripts/measure_demo.py weights/yolov8n-shapes.safetensors --scenes 500

The network is Ultralytics' module and so is its NMS, with the thresholds of Ultralytics' validation:
confidence 0.001, IoU 0.7, every class of a box counts. faster-coco-eval judges, by COCO's rules.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from make_demo_images import numbered_scene
from numpy.typing import NDArray
from shapes.scenes import CLASS_NAMES

from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.images.letterbox import letterbox

IMGSZ = 320
VALIDATION_SEED = 1  # a series of scenes; 0 is for training, the bundled images are from 39


@dataclass(frozen=True)
class Accuracy:
    """Average precision, over all classes and for each.

    Attributes:
        imgsz: The side of the letterboxed scenes, in pixels.
        scenes: Number of scenes.
        objects: Number of labelled shapes in them.
        ap: (AP50-95, AP50) by class name, and their means under "all".
    """

    imgsz: int
    scenes: int
    objects: int
    ap: dict[str, tuple[float, float]]

    def line(self) -> str:
        """The means, in one line."""
        mean, mean50 = self.ap["all"]
        where = f"{self.objects} objects in {self.scenes} scenes, {self.imgsz} px"
        return f"mAP50-95 {mean:.4f}  mAP50 {mean50:.4f}  ({where})"

    def table(self) -> str:
        """Everything, as a Markdown table."""
        rows = [f"| {name} | {ap:.3f} | {ap50:.3f} |" for name, (ap, ap50) in self.ap.items()]
        return "\n".join(["| class | AP50-95 | AP50 |", "| --- | --- | --- |", *rows])


def images_tensor(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """RGB uint8 [H, W, 3] images as float32 [B, 3, H, W] of 0..1, channels last in memory."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def measure(model: Any, imgsz: int = IMGSZ, scenes: int = 500, batch: int = 20) -> Accuracy:
    """Measure a `DetectionModel` on the first `scenes` of the validation series, letterboxed to `imgsz`."""
    from ultralytics.utils.nms import non_max_suppression

    model.eval()
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for first in range(0, scenes, batch):
        numbers = range(first, min(first + batch, scenes))
        drawn = [numbered_scene(VALIDATION_SEED, number) for number in numbers]
        canvases, geometries = zip(*(letterbox(scene.image, (imgsz, imgsz)) for scene in drawn), strict=True)
        with torch.inference_mode():
            output = model(images_tensor(canvases))
        # No time limit: by default, a slow machine's later images would go without detections.
        kept = non_max_suppression(
            output, conf_thres=0.001, iou_thres=0.7, multi_label=True, max_det=300, max_time_img=math.inf
        )
        for number, scene, geometry, rows in zip(numbers, drawn, geometries, kept, strict=True):
            for box, class_id in zip(scene.boxes, scene.classes.tolist(), strict=True):
                truth.append({"image_id": number, "category_id": class_id, **coco_box(box)})
            detections = rows.numpy()
            for box, row in zip(geometry.to_image(detections[:, :4]), detections, strict=True):
                scored = {"image_id": number, "category_id": int(row[5]), "score": float(row[4])}
                found.append({**scored, **coco_box(box)})
    return Accuracy(imgsz, scenes, len(truth), average_precision(truth, found, scenes))


def coco_box(box: NDArray[np.float32]) -> dict[str, Any]:
    """A box x1 y1 x2 y2 as COCO's x, y, width, height, and its area."""
    x1, y1, x2, y2 = box.tolist()
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}


def average_precision(
    truth: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]], scenes: int
) -> dict[str, tuple[float, float]]:
    """Judge detections by COCO's rules.

    Args:
        truth: Labelled boxes: image_id, category_id, bbox, area.
        found: Detections: the same, and score.
        scenes: Number of images; their ids are 0 .. scenes - 1.

    Returns:
        (AP50-95, AP50) under "all" and for each class; 0 where a class has no label or nothing was found.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    names = ("all", *CLASS_NAMES)
    if not found:
        return dict.fromkeys(names, (0.0, 0.0))
    annotations = COCO(
        {
            "info": {},
            "images": [{"id": number} for number in range(scenes)],
            "categories": [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES)],
            "annotations": [{"id": number, "iscrowd": 0, **box} for number, box in enumerate(truth, start=1)],
        }
    )
    judge = COCOeval_faster(
        annotations, annotations.loadRes(list(found)), "bbox", print_function=lambda *_: None
    )
    judge.evaluate()
    judge.accumulate()
    # [IoU threshold, recall, class], all sizes, up to 100 detections per image; -1 where nothing is labelled.
    precision = judge.eval["precision"][:, :, :, 0, -1].clip(min=0)
    pairs = np.stack([precision.mean(axis=(0, 1)), precision[0].mean(axis=0)], axis=1)
    return {
        name: (float(ap), float(ap50))
        for name, (ap, ap50) in zip(names, [pairs.mean(axis=0), *pairs], strict=True)
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the shape detector on unseen scenes.")
    parser.add_argument("weights", type=Path, help=".pt from train_demo.py, or .safetensors made of it")
    parser.add_argument("--scenes", type=int, default=500, help="how many (default: 500)")
    parser.add_argument("--imgsz", type=int, default=IMGSZ, help=f"letterboxed to (default: {IMGSZ})")
    arguments = parser.parse_args()
    module = TorchEngine(arguments.weights, channels_last=True).module
    accuracy = measure(module, arguments.imgsz, arguments.scenes)
    print(accuracy.line())
    print(accuracy.table())


if __name__ == "__main__":
    main()
