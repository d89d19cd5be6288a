"""Masks on images: where they are, how their edges run, and what they leave alone."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolo_max.output import mask_fill
from yolo_max.output.draw import draw
from yolo_max.output.mask_fill import FILL, OUTLINE, fill_mask
from yolo_max.tasks.marks import BoxMark, Marks, MaskMark
from yolo_max.tasks.rle import boundaries_of, encode

WHITE = (255, 255, 255)


def mark_of(mask: NDArray[np.bool_], xyxy: tuple[float, float, float, float]) -> MaskMark:
    size = mask.shape[0], mask.shape[1]
    return MaskMark(encode(boundaries_of([mask], 0, 0, size), size), size, xyxy)


def opacity(mark: MaskMark, size: tuple[int, int], line_width: float = 2) -> NDArray[np.float64]:
    """Of a mask, measured in white on black."""
    canvas = np.zeros((*size, 3), np.uint8)
    fill_mask(canvas, mark, line_width, WHITE)
    assert (canvas == canvas[..., :1]).all()
    return canvas[..., 0] / 255


@pytest.mark.parametrize("line_width", [1, 2, 4])
@pytest.mark.parametrize(
    ("grid", "size", "xyxy"),
    [
        ((100, 100), (100, 100), (0, 0, 100, 100)),  # pixel by pixel
        ((100, 100), (370, 370), (0, 0, 370, 370)),  # enlarged
        ((100, 100), (50, 50), (0, 0, 50, 50)),  # reduced
        ((100, 100), (300, 200), (-50, 0, 250, 300)),  # a letterbox with bars beside the image
        ((640, 640), (100, 100), (0, 0, 100, 100)),  # several pixels of the mask on one of the image
    ],
)
def test_an_edge_is_as_wide_as_asked_wherever_the_mask_lies(
    grid: tuple[int, int],
    size: tuple[int, int],
    xyxy: tuple[float, float, float, float],
    line_width: float,
) -> None:
    mask = np.zeros(grid, bool)
    unit = grid[1] // 100
    mask[20 * unit : 80 * unit, 30 * unit : 70 * unit] = True
    drawn = opacity(mark_of(mask, xyxy), size, line_width)
    scale = unit * (xyxy[2] - xyxy[0]) / grid[1]
    row = drawn[round(size[0] / 2)]
    # How far the pixels' centres lie inside the left edge, and from the right one.
    distance = np.arange(size[1]) + 0.5 - (xyxy[0] + 30 * scale)
    left = distance < 20 * scale
    distance = np.where(left, distance, xyxy[0] + 70 * scale - (np.arange(size[1]) + 0.5))
    expected = np.maximum(
        FILL * np.clip(distance + 0.5, 0, 1), OUTLINE * np.clip((line_width + 1) / 2 - abs(distance), 0, 1)
    )
    assert abs(row - expected).max() < 0.25  # a quarter of a pixel
    deep = abs(distance) > line_width / 2 + 1
    assert abs(row - expected)[deep].max() < 0.01


@pytest.mark.parametrize(
    ("size", "xyxy"),
    [((1, 1), (0, 0, 1, 1)), ((3, 2), (-0.5, 0, 2.5, 3)), ((1, 40), (0, -19.5, 40, 20.5))],
)
def test_masks_on_a_tiny_image_take_little_time(
    size: tuple[int, int], xyxy: tuple[float, float, float, float]
) -> None:
    # Blurred at its own resolution, one such mask took seconds.
    mark = mark_of(np.ones((1280, 1280), bool), xyxy)
    canvas = np.zeros((*size, 3), np.uint8)
    start = time.process_time()
    for _ in range(10):
        fill_mask(canvas, mark, 1.5, WHITE)
    assert time.process_time() - start < 5
    assert canvas.min() > 200


def test_a_mask_touches_nothing_else() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    canvas = image.copy()
    fill_mask(canvas, mark_of(mask, (0, 0, 80, 60)), 1, (10, 200, 30))
    changed = (canvas != image).any(axis=2)
    assert not changed[:18].any()
    assert not changed[42:].any()
    assert not changed[:, :28].any()
    assert not changed[:, 52:].any()
    inside = np.s_[24:36, 34:46]
    mixed = image[inside] * (1 - FILL) + np.array([10, 200, 30]) * FILL
    assert abs(canvas[inside] - mixed).max() <= 2


@pytest.mark.parametrize("side", [7, 64])
def test_tiles_do_not_show(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = cv2.circle(np.zeros((64, 64), np.uint8), (30, 33), 22, 1, -1).astype(bool)
    mark = mark_of(mask, (-20.5, 3, 200, 223.5))
    whole = opacity(mark, (150, 180), 3)
    monkeypatch.setattr(mask_fill, "TILE", side)
    assert abs(opacity(mark, (150, 180), 3) - whole).max() < 0.02


def test_steps_of_an_enlarged_mask_do_not_show() -> None:
    disk = cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), 20, 1, -1).astype(bool)
    drawn = opacity(mark_of(disk, (0, 0, 640, 640)), (640, 640), 4) > (FILL + OUTLINE) / 2
    y, x = np.nonzero(drawn)  # the outline
    radius = np.hypot(x - 324.5, y - 324.5)
    assert len(radius) > 1000
    assert radius.max() - radius.min() < 20  # steps of the mask are 10 pixels high, and lie askew


def test_an_empty_mask_and_one_beside_the_image() -> None:
    assert not opacity(mark_of(np.zeros((8, 8), bool), (0, 0, 8, 8)), (8, 8)).any()
    assert not opacity(mark_of(np.ones((8, 8), bool), (100, 100, 140, 140)), (8, 8)).any()
    assert opacity(mark_of(np.ones((3, 3), bool), (0, 0, 50, 50)), (50, 50)).any()  # as small as it is


def test_overlapping_objects_of_one_class_have_an_edge_between_them() -> None:
    first, second = np.zeros((2, 100, 100), bool)
    first[20:60, 20:60] = second[40:80, 40:80] = True
    marks = Marks(
        boxes=(BoxMark((20, 20, 60, 60), 3, "a", "a"), BoxMark((40, 40, 80, 80), 3, "a", "a")),
        masks=(mark_of(first, (0, 0, 100, 100)), mark_of(second, (0, 0, 100, 100))),
    )
    drawn = draw(np.zeros((100, 100, 3), np.uint8), marks, colors=[WHITE, WHITE])[..., 0] / 255
    once, both = drawn[30, 30], drawn[50, 50]
    assert once == pytest.approx(FILL, abs=0.02)
    assert both == pytest.approx(1 - (1 - FILL) ** 2, abs=0.02)
    assert drawn[50, 56:62].max() > 0.8  # where the first ends within the second
    assert drawn[56:62, 50].max() > 0.8
