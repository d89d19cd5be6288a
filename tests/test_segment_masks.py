"""Masks from prototypes, against Ultralytics' own operations in PyTorch."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ultralytics.utils import ops

from yolo_max.images.letterbox import Letterbox
from yolo_max.support.errors import EngineError
from yolo_max.tasks import rle
from yolo_max.tasks.segment import masks as module
from yolo_max.tasks.segment.masks import MaskGrid, content_of
from yolo_max.tasks.segment.polygons import polygon_of

ROUNDING = 1e-5
"""How far a logit of the size of one is from another engine's, at most."""


def random_outputs(
    canvas: tuple[int, int], count: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Smooth prototypes, coefficients and boxes, some beyond the canvas; logits are of the size of one."""
    random = np.random.default_rng(seed)
    height, width = canvas[0] // 4, canvas[1] // 4
    coarse = torch.from_numpy(random.standard_normal((1, 32, 2 + height // 8, 2 + width // 8)))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    prototypes = np.ascontiguousarray(smooth.permute(1, 2, 0).numpy().astype(np.float32))
    coefficients = (random.standard_normal((count, 32)) / 6).astype(np.float32)
    corners = random.uniform(-0.05, 1.05, (count, 2, 2)) * [canvas[1], canvas[0]]
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1).astype(np.float32)
    return prototypes, coefficients, boxes


def dense(counts: NDArray[np.object_], size: tuple[int, int]) -> NDArray[np.bool_]:
    masks = np.zeros((len(counts), *size), bool)
    for mask, each in zip(masks, counts, strict=True):
        window, top, left = rle.window_of(rle.decode(each, size), size)
        mask[top : top + window.shape[0], left : left + window.shape[1]] = window
    return masks


def require_same(
    grid: MaskGrid,
    outputs: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    expected: torch.Tensor,
) -> None:
    """Every pixel is PyTorch's, but for those whose logit rounding moves across 0."""
    ours = dense(grid.masks(*outputs), grid.size)
    theirs = expected.numpy().astype(bool)
    assert ours.shape == theirs.shape
    assert theirs.any(axis=(1, 2)).mean() > 0.1
    sure = dense(grid.masks(*outputs, ROUNDING), grid.size)
    possible = dense(grid.masks(*outputs, -ROUNDING), grid.size)
    assert not (sure & ~theirs).any()
    assert not (theirs & ~possible).any()
    assert (ours != theirs).sum() <= 1e-5 * theirs.size


CANVASES = [
    ((640, 640), 40),
    ((96, 160), 200),  # small, so many boxes have an edge on it or beyond
    ((32, 32), 50),
]


@pytest.mark.parametrize(("canvas", "count"), CANVASES)
def test_masks_of_the_canvas(canvas: tuple[int, int], count: int) -> None:
    prototypes, coefficients, boxes = outputs = random_outputs(canvas, count)
    torch_protos = torch.from_numpy(prototypes).permute(2, 0, 1)
    arrays = torch.from_numpy(coefficients), torch.from_numpy(boxes)
    size = prototypes.shape[0], prototypes.shape[1]
    expected = ops.process_mask(torch_protos, *arrays, canvas, upsample=True)
    require_same(MaskGrid.of_canvas(size, canvas), outputs, expected)
    coarse = ops.process_mask(torch_protos, *arrays, canvas)  # as in `yolo val`
    boxes = boxes / np.float32(4)
    require_same(MaskGrid.of_canvas(size, size), (prototypes, coefficients, boxes), coarse)


IMAGES = {
    "as large as the canvas": (640, 640),
    "a photograph, reduced": (480, 640),
    "reduced to odd sides": (1333, 750),
    "padding by 2 of 4 pixels": (1280, 1268),
    "padding by 1": (641, 639),
    "enlarged": (50, 100),
    "a strip": (2000, 16),
    "one row": (1, 300),
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_masks_of_the_image(image: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIP", 5000)  # several strips
    canvas = (640, 640)
    prototypes, coefficients, boxes = random_outputs(canvas, 12, seed=1)
    boxes = Letterbox.fit(image, canvas).to_image(boxes)
    expected = ops.process_mask_native(
        torch.from_numpy(prototypes).permute(2, 0, 1),
        torch.from_numpy(coefficients),
        torch.from_numpy(boxes),
        image,
    )
    require_same(MaskGrid.of_image((160, 160), image), (prototypes, coefficients, boxes), expected)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_the_content_is_where_the_letterbox_puts_it(image: tuple[int, int]) -> None:
    left, top, width, height = content_of((640, 640), image)
    placement = Letterbox.fit(image, (640, 640))
    assert placement.window == (left, top, left + width, top + height)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_prototypes_that_are_not_finite(value: float) -> None:
    prototypes, coefficients, _ = random_outputs((64, 64), 1)
    prototypes[8, 8, 3] = value
    with pytest.raises(EngineError, match="masks that are not finite"):
        MaskGrid.of_canvas((16, 16), (64, 64)).masks(
            prototypes, coefficients, np.array([[0, 0, 64, 64]], np.float32)
        )


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 10, 30),  # no width
        (-30, 5, -10, 20),  # left of the canvas
        (70, 5, 90, 20),  # right of it
        (30.2, 30.2, 30.9, 30.9),  # between the corners of pixels
    ],
)
def test_a_box_without_a_pixel_has_an_empty_mask(box: tuple[float, ...]) -> None:
    prototypes, coefficients, _ = random_outputs((64, 64), 1)
    (counts,) = MaskGrid.of_canvas((16, 16), (64, 64)).masks(
        prototypes, coefficients, np.array([box], np.float32)
    )
    assert not len(rle.decode(counts, (64, 64)))


SHAPES = {
    "empty": [],
    "one pixel": [(3, 4, 1, 1)],
    "a rectangle": [(3, 4, 10, 7)],
    "at every edge": [(0, 0, 60, 50)],
    "two parts": [(2, 3, 9, 9), (30, 25, 11, 5)],
    "three parts, joined on one side and back on the other": [(2, 3, 9, 9), (30, 25, 11, 5), (5, 40, 8, 8)],
    "five parts": [(2, 3, 4, 4), (40, 2, 9, 6), (20, 20, 11, 5), (5, 40, 8, 8), (50, 44, 4, 5)],
    "touching at a corner": [(2, 2, 4, 4), (6, 6, 4, 4)],
}


@pytest.mark.parametrize("rectangles", SHAPES.values(), ids=SHAPES)
def test_polygons_are_those_of_ultralytics(rectangles: list[tuple[int, int, int, int]]) -> None:
    mask = np.zeros((50, 60), bool)
    for x, y, width, height in rectangles:
        mask[y : y + height, x : x + width] = True
    if len(rectangles) == 1 and mask.sum() > 40:
        mask[6:8, 5:9] = False  # a hole, which is not outlined
    require_same_polygon(mask)


@pytest.mark.parametrize("seed", range(8))
def test_polygons_of_random_masks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_max.tasks.segment.polygons.PAIRS", 500)
    prototypes, coefficients, boxes = random_outputs((128, 128), 10, seed)
    for mask in dense(
        MaskGrid.of_canvas((32, 32), (128, 128)).masks(prototypes, coefficients, boxes), (128, 128)
    ):
        require_same_polygon(mask)
    require_same_polygon(np.random.default_rng(seed).random((40, 40)) < 0.2)  # specks, with ties of distance


def require_same_polygon(mask: NDArray[np.bool_]) -> None:
    size = mask.shape[0], mask.shape[1]
    (expected,) = ops.masks2segments(mask[None])
    ours = polygon_of(rle.boundaries_of([mask], 0, 0, size), size)
    assert np.array_equal(ours.astype(np.float32), expected)


def test_memory_does_not_grow_with_the_image() -> None:
    prototypes, coefficients, _ = random_outputs((640, 640), 3)
    image = (4000, 4000)
    boxes = np.array([[0, 0, 4000, 4000]] * 3, np.float32)
    grid = MaskGrid.of_image((160, 160), image)
    tracemalloc.start()
    try:
        masks = grid.masks(prototypes, coefficients, boxes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * 16 * module.STRIP  # the masks themselves would be 48 MB, their logits 192
    assert sum(map(len, masks)) < 2**20
