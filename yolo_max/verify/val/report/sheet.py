"""Labels, and predictions, on their images: a sheet of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.images.read import read_image
from yolo_max.output.draw import draw
from yolo_max.support.errors import ImageError
from yolo_max.support.options import DrawOptions
from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.marks import BoxMark, LineMark, Marks, MaskMark, SkeletonMark
from yolo_max.tasks.pose.skeleton import skeleton
from yolo_max.tasks.rle import boundaries_of, encode
from yolo_max.verify.val.dataset import BoxDataset, Dataset

COLUMNS, CELL, GAP = 4, 480, 6
"""Cells in a row; (height and width of) a cell, and what is between two, in pixels."""
LINE, FONT = 1.5, 12
"""In pixels of a cell."""
CONF = 0.25
"""Less sure detections are not drawn, as in Ultralytics' pictures."""
PAPER = 255


def sheets(
    dataset: Dataset, shown: Sequence[tuple[Any, Prediction]]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The same images twice: with their labels, and with what was predicted.

    Args:
        dataset: Whose labels they are.
        shown: Examples with their predictions. Of these, the ones that exceed `CONF` are drawn.

    Returns:
        uint8 [H, W, 3] BGR, both; None if no image can be read any more.
    """
    labels, predictions = [], []
    for example, prediction in shown:
        try:
            image = read_image(example.path)
        except ImageError:
            continue
        if image.shape[:2] != prediction.image_size:
            continue
        sure: Any = prediction
        if isinstance(dataset, BoxDataset):
            sure = sure[sure.confidence > CONF]
        options = _legible(image)
        labels.append(_cell(draw(image, label_marks(dataset, example, prediction.image_size), options)))
        predictions.append(_cell(draw(image, sure.marks(), options)))
    return (_sheet(labels), _sheet(predictions)) if labels else None


def label_marks(dataset: Dataset, example: Any, image_size: tuple[int, int]) -> Marks:
    """What to draw of an example's labels, in pixels of an image of that size."""
    if not isinstance(dataset, BoxDataset):
        name = dataset.names[example.class_id]
        return Marks(lines=(LineMark(name, name, example.class_id),))
    boxes, masks, skeletons = [], [], []
    for index, xyxy in enumerate(example.pixels(image_size).tolist()):
        shape = dataset.shape.annotation(example, index, image_size)
        class_id = int(example.class_id[index])
        name = dataset.names[class_id]
        corners = tuple((x, y) for x, y in shape.get("corners", ()))
        boxes.append(BoxMark(tuple(xyxy), class_id, name, name, corners))
        if "segmentation" in shape:
            masks.append(_mask(shape["segmentation"], image_size))
        if "keypoints" in shape:
            skeletons.append(_skeleton(shape["keypoints"]))
    return Marks(boxes=tuple(boxes), masks=tuple(masks), skeletons=tuple(skeletons))


def _mask(segmentation: Any, image_size: tuple[int, int]) -> MaskMark:
    """Of COCO's polygons or run lengths."""
    height, width = image_size
    place = (0.0, 0.0, float(width), float(height))
    if isinstance(segmentation, dict):
        return MaskMark(segmentation["counts"], image_size, place)
    mask = np.zeros(image_size, np.uint8)
    parts = [np.reshape(part, (-1, 2)).round().astype(np.int32) for part in segmentation]
    cv2.fillPoly(mask, parts, (1,))
    counts = encode(boundaries_of([mask.astype(bool)], 0, 0, image_size), image_size)
    return MaskMark(counts, image_size, place)


def _skeleton(keypoints: Sequence[float]) -> SkeletonMark:
    points = np.reshape(keypoints, (-1, 3))
    return skeleton(points[:, :2].tolist(), (points[:, 2] > 0).tolist())


def _legible(image: NDArray[np.uint8]) -> DrawOptions:
    """Lines and text that can still be read once the image is as small as its cell."""
    scale = max(image.shape[:2]) / CELL
    return DrawOptions(line_width=math.ceil(LINE * scale), font_size=math.ceil(FONT * scale))


def _cell(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image in a square, shrunk or in the middle."""
    height, width = image.shape[:2]
    scale = CELL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    cell = np.full((CELL, CELL, 3), PAPER, np.uint8)
    top, left = (CELL - size[1]) // 2, (CELL - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = fitted
    return cell


def _sheet(cells: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    step = CELL + GAP
    sheet = np.full((rows * step - GAP, columns * step - GAP, 3), PAPER, np.uint8)
    for i, cell in enumerate(cells):
        top, left = i // columns * step, i % columns * step
        sheet[top : top + CELL, left : left + CELL] = cell
    return sheet
