"""Scenes of simple shapes with their ground truth: what the bundled weights learn from and are measured on.

A scene is a textured background, some clutter that is not an object, and one to a dozen shapes of six
classes, rotated, from small to large, partly hiding each other or cut by the image's border. Every choice
comes from one generator seeded by ``(seed, index)``, so that a scene is the same whenever and wherever it is
drawn.

How a scene is labelled: ``owner`` says for each pixel which shape is seen there. A shape's box is the tight
box around the pixels it owns at the end, after everything drawn over it. A shape of which less than
``MIN_VISIBLE`` is left carries no label, and shapes are placed so that they do not bring each other, nor the
border them, below that; clutter drawn on top still may.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from shapes.canvas import Canvas
from shapes.clutter import draw_clutter
from shapes.outlines import OUTLINES, Mask, Points, Window, bounds, fill_mask, pose, rectangle
from shapes.textures import TEXTURES, Color, Image, background, flat, paint, random_color

CLASS_NAMES = tuple(OUTLINES)

# A shape with less than this share of its area in sight gets no label: half a star is a star, its tip is not.
MIN_VISIBLE = 0.45
# Lengths (line widths, stripes, grain) are given for an image of this longer side, and scale with the image.
REFERENCE_SIDE = 320


@dataclass(frozen=True)
class Style:
    """What kind of scenes a series shows.

    Attributes:
        counts: Least and largest number of shapes that are placed, where there is room.
        diameters: Of shapes, as shares of the image's longer side.
        squeeze: How much of its breadth is left to a shape.
        uncut: Keep the rotated boxes inside the image; otherwise the border cuts some shapes.
    """

    counts: tuple[int, int] = (1, 12)
    diameters: tuple[float, float] = (0.06, 0.55)  # 19 to 176 pixels in an image of 320
    squeeze: tuple[float, float] = (0.88, 1.0)
    uncut: bool = False


UPRIGHT = Style()


@dataclass(frozen=True)
class Scene:
    """One drawn scene and its ground truth.

    Attributes:
        image: uint8 [H, W, 3], BGR.
        boxes: float32 [N, 4], x1 y1 x2 y2 in pixels of the image; x2 and y2 are one past the last visible.
        classes: int64 [N], indices into ``CLASS_NAMES``.
        owner: int32 [H, W]; k + 1 where labelled shape k is seen, 0 elsewhere.
        corners: float32 [N, 4, 2], x y of the corners of the rotated box around the whole shape, hidden parts
            included, clockwise from the one at the left of the shape's own top.
        keypoints: float32 [N, K, 3], x, y and visibility, as COCO has it: 2 in sight, 1 hidden by something
            else, 0 (and x = y = 0) outside the image; K is 0 for shapes.
    """

    image: Image
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    owner: NDArray[np.int32]
    corners: NDArray[np.float32]
    keypoints: NDArray[np.float32]


@dataclass
class Shape:
    """A shape that is drawn.

    Attributes:
        class_id: Index into the class names.
        area: Number of pixels that it has in full.
        seen: Number of those still in sight.
        corners: float64 [4, 2], of its rotated box.
        keypoints: float64 [K, 2], x y.
    """

    class_id: int
    area: int
    seen: int
    corners: Points
    keypoints: Points = field(default_factory=lambda: np.zeros((0, 2)))


def left_in_sight(
    shape: Shape, window: Window, covered: NDArray[np.bool_], canvas: Canvas, shapes: Sequence[Shape]
) -> list[tuple[Shape, int]] | None:
    """What a new shape would leave in sight of those drawn before.

    Args:
        shape: The new shape.
        window: Where it is.
        covered: bool of the window's size, its pixels.
        canvas: The picture so far.
        shapes: Those in it; shape k owns the pixels with k + 1.

    Returns:
        The shapes that it would hide a part of, each with the number of pixels left; None if too little would
        be left of one of them, or the border leaves too little of itself.
    """
    needed = MIN_VISIBLE + 0.03  # a little more, for the clutter to come
    hidden = np.bincount(canvas.owner[window][covered], minlength=len(shapes) + 1)[1:].tolist()
    rest = [(other, other.seen - lost) for other, lost in zip(shapes, hidden, strict=True) if lost]
    enough = shape.seen >= needed * shape.area and all(left >= needed * other.area for other, left in rest)
    return rest if enough else None


def _place_outline(
    rng: Generator, canvas: Canvas, name: str, style: Style
) -> tuple[list[Points], Points, float]:
    """Draw a size (log-uniform: as many small as large) and a place.

    Returns:
        The outline, the corners of its rotated box, and the radius.
    """
    height, width = canvas.owner.shape
    diameter = max(height, width) * math.exp(rng.uniform(*np.log(style.diameters)))
    diameter = min(diameter, 0.9 * min(height, width))
    # The centre stays inside, so that the border cuts some shapes, though never by much more than half.
    inset = 0.2 * diameter
    centre = np.array([rng.uniform(inset, width - inset), rng.uniform(inset, height - inset)])
    outline = OUTLINES[name](rng)
    *outline, corners = pose(rng, [*outline, rectangle(outline)], diameter / 2, centre, style.squeeze)
    return outline, corners, diameter / 2


def _draw_shape(
    rng: Generator, canvas: Canvas, class_id: int, shapes: list[Shape], shadowed: bool, style: Style
) -> None:
    """Place one shape where it hides no other too far, and draw it; none, if a dozen places do not do."""
    for _ in range(12):
        outline, corners, radius = _place_outline(rng, canvas, CLASS_NAMES[class_id], style)
        window = canvas.window(outline, margin=2)
        if window is None or (style.uncut and not _inside(corners, canvas)):
            continue
        mask = fill_mask(outline, window)
        covered = mask >= 128
        whole = fill_mask(outline, bounds(outline, margin=2)) >= 128
        shape = Shape(class_id, int(np.count_nonzero(whole)), int(np.count_nonzero(covered)), corners)
        rest = left_in_sight(shape, window, covered, canvas, shapes)
        if rest is not None:
            break
    else:
        return
    if shadowed:
        _draw_shadow(canvas, outline, radius)
    canvas.blend(window, mask, filling(rng, canvas, window, mask, radius))
    if rng.random() < 0.35:
        _draw_rim(rng, canvas, window, outline, radius)
    for other, left in rest:
        other.seen = left
    shapes.append(shape)
    canvas.owner[window][covered] = len(shapes)


def _inside(points: Points, canvas: Canvas) -> bool:
    height, width = canvas.owner.shape
    return bool((points >= 0).all() and (points <= (width, height)).all())


def _draw_shadow(canvas: Canvas, outline: Sequence[Points], radius: float) -> None:
    """A soft shadow to the lower right."""
    cast = [points + np.array([0.1, 0.13]) * radius for points in outline]
    window = canvas.window(cast, margin=0.25 * radius)
    if window is not None:
        shadow = cv2.GaussianBlur(fill_mask(cast, window), (0, 0), max(0.08 * radius, 0.6))
        canvas.blend(window, shadow, np.zeros((*shadow.shape, 3), np.uint8), opacity=0.5)


def standing_out(rng: Generator, canvas: Canvas, window: Window, mask: Mask) -> Color:
    """A color that stands out from what is below."""
    below = np.array(cv2.mean(canvas.image[window], mask)[:3], np.float32)
    for _ in range(8):
        color = random_color(rng, (0.35, 0.95), (0.35, 1.0))
        if np.linalg.norm(color - below) > 110:
            break
    return color


def filling(rng: Generator, canvas: Canvas, window: Window, mask: Mask, radius: float) -> Image:
    """One color or a texture of two, in a color that stands out from what is below."""
    color = standing_out(rng, canvas, window, mask)
    height, width = mask.shape
    if rng.random() < 0.3:
        return flat(height, width, color)
    # Towards white or black, or to another tone: the shape stays one thing, not two halves.
    target = (np.full(3, 255.0), np.zeros(3), rng.uniform(0, 255, 3))[rng.integers(3)]
    second = (color + (target - color) * rng.uniform(0.2, 0.5)).astype(np.float32)
    texture = TEXTURES[rng.choice(len(TEXTURES), p=(0.35, 0.2, 0.14, 0.07, 0.1, 0.14))]
    # Small shapes get finer textures, or theirs would be flat.
    return paint(texture(rng, height, width, min(canvas.unit, radius / 30)), [color, second])


def _draw_rim(
    rng: Generator, canvas: Canvas, window: Window, outline: Sequence[Points], radius: float
) -> None:
    """A lighter or darker rim along the inside of the edge."""
    width = max(1, round(radius * rng.uniform(0.04, 0.1)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    # The erosion looks `width` pixels around, also out of the image.
    rows, columns = (slice(side.start - width, side.stop + width) for side in window)
    mask = fill_mask(outline, (rows, columns))
    rim = cv2.subtract(mask, cv2.erode(mask, kernel))[width:-width, width:-width]
    tone = 255 if rng.random() < 0.5 else 15
    canvas.blend(window, rim, np.full((*rim.shape, 3), tone, np.uint8), opacity=0.75)


def draw_scene(seed: int, index: int, size: tuple[int, int], style: Style = UPRIGHT) -> Scene:
    """Draw one scene.

    Args:
        seed: Names a series of scenes (one for training, one for validation, ...), 0 or more.
        index: The scene's number in the series, 0 or more.
        size: Height and width in pixels, each at least 64. Details scale with the longer one.
        style: What kind of scene.

    Returns:
        The image and its ground truth; it may be without any label.
    """
    rng = np.random.default_rng((seed, index))
    height, width = size
    unit = max(size) / REFERENCE_SIDE
    canvas = Canvas(background(rng, height, width, unit), np.zeros(size, np.int32), unit)
    draw_clutter(rng, canvas, int(rng.integers(0, 7)), thickest=4)
    shadowed = rng.random() < 0.5
    shapes: list[Shape] = []
    count = rng.integers(style.counts[0], style.counts[1] + 1)
    for class_id in rng.integers(len(CLASS_NAMES), size=count).tolist():
        _draw_shape(rng, canvas, class_id, shapes, shadowed, style)
    if rng.random() < 0.3:
        draw_clutter(rng, canvas, int(rng.integers(1, 4)), thickest=2.5)
    return label(develop(rng, canvas.image), canvas.owner, shapes)


def develop(rng: Generator, image: Image) -> Image:
    """What a camera adds: a little blur, grain and a change of exposure."""
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.5:
        most = int(rng.integers(3, 13))
        grain = rng.integers(0, 2 * most + 1, image.shape[:2], dtype=np.uint8)
        image = cv2.subtract(cv2.add(image, cv2.merge([grain] * 3)), (most, most, most, 0))
    developed: Image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.85, 1.1), beta=0)
    return developed


def label(image: Image, owner: NDArray[np.int32], shapes: Sequence[Shape], keypoints: int = 0) -> Scene:
    """Box what is seen of each shape; a shape too far hidden loses its label, and its pixels their owner.

    Args:
        image: The scene.
        owner: int32 [H, W]; k + 1 where shape k is seen, 0 elsewhere.
        shapes: Those that were drawn.
        keypoints: How many each has.
    """
    labelled: list[Shape] = []
    boxes, points = [], []
    renumber = np.zeros(len(shapes) + 1, np.int32)
    for number, shape in enumerate(shapes, start=1):
        seen = owner == number
        if np.count_nonzero(seen) < MIN_VISIBLE * shape.area:
            continue
        x, y, w, h = cv2.boundingRect(seen.view(np.uint8))
        boxes.append((x, y, x + w, y + h))
        points.append(_visible(shape.keypoints, seen))
        labelled.append(shape)
        renumber[number] = len(labelled)
    return Scene(
        image,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([shape.class_id for shape in labelled], np.int64),
        renumber[owner],
        np.array([shape.corners for shape in labelled], np.float32).reshape(-1, 4, 2),
        np.array(points, np.float32).reshape(-1, keypoints, 3)
        if keypoints
        else np.zeros((len(labelled), 0, 3), np.float32),
    )


def _visible(points: Points, seen: NDArray[np.bool_]) -> Points:
    """Points x y, and how visible each is: [K, 3]."""
    height, width = seen.shape
    rows = []
    for x, y in points.tolist():
        if 0 <= x < width and 0 <= y < height:
            rows.append((x, y, 2 if seen[int(y), int(x)] else 1))
        else:
            rows.append((0, 0, 0))
    return np.array(rows, np.float64).reshape(-1, 3)
