"""Draw scenes of simple shapes: the pictures in images/ and the training data of the bundled weights.

A scene is a textured background, some clutter that is not an object, and one to a dozen shapes of six classes,
rotated, from small to large, partly hiding each other or cut by the image's border. Every choice comes from one
generator seeded by ``(seed, index)``, so that a scene is the same on every run, whichever process draws it.

How a scene is labelled: ``owner`` says for each pixel which shape is seen there. A shape's box is the tight box
around the pixels it owns at the end, after everything drawn over it; a shape of which less than ``MIN_VISIBLE`` is
left carries no label, and shapes are placed so that they do not bring each other below that. (Clutter drawn on top
may, and the image's border.)

    python scripts/make_demo_images.py --out images --seed 2 --count 8
    python scripts/make_demo_images.py --out scenes --seed 1 --count 300 --labels     # a YOLO data set
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

CLASS_NAMES = ("circle", "ring", "triangle", "square", "star", "cross")

# A shape with less than this share of its area in sight gets no label: half a star is still a star, a tip is not.
MIN_VISIBLE = 0.45
# Diameters of shapes, as shares of the image's longer side: 19 to 176 pixels in an image of 320.
DIAMETERS = (0.06, 0.55)
# Lengths (line widths, stripes, grain) are given for an image of this longer side, and scale with the image.
REFERENCE_SIDE = 320
# The bundled images go round these (width, height), so that letterboxing has something to do.
DEMO_SIZES = ((640, 480), (480, 640), (640, 360), (512, 512), (800, 450), (640, 427), (450, 600), (640, 480))

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
Mask = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """One drawn scene and its ground truth.

    Attributes:
        image: uint8 [H, W, 3], BGR.
        boxes: float32 [N, 4], x1 y1 x2 y2 in pixels of the image; x2 and y2 are one past the last visible pixel.
        classes: int64 [N], indices into ``CLASS_NAMES``.
        owner: int32 [H, W]; k + 1 where labelled shape k is seen, 0 elsewhere.
    """

    image: Image
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    owner: NDArray[np.int32]


# --- Outlines: closed polygons of radius 1 around the origin; two of them make a shape with a hole. -------------


def _regular(corners: int, radius: float = 1.0) -> Points:
    angles = np.arange(corners) * (2 * math.pi / corners)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _circle(rng: Generator) -> list[Points]:
    return [_regular(72)]


def _ring(rng: Generator) -> list[Points]:
    return [_regular(72), _regular(72, rng.uniform(0.42, 0.68))]


def _triangle(rng: Generator) -> list[Points]:
    return [_regular(3)]


def _square(rng: Generator) -> list[Points]:
    return [_regular(4)]


def _star(rng: Generator) -> list[Points]:
    points = _regular(10)
    points[1::2] *= rng.uniform(0.38, 0.52)
    return [points]


def _cross(rng: Generator) -> list[Points]:
    half = rng.uniform(0.24, 0.36)
    arm = np.array([(1.0, -half), (1.0, half), (half, half)])
    quarter_turn = np.array([(0.0, 1.0), (-1.0, 0.0)])  # row vectors: (x, y) -> (-y, x)
    return [np.concatenate([arm @ np.linalg.matrix_power(quarter_turn, turn) for turn in range(4)])]


OUTLINES: dict[str, Callable[[Generator], list[Points]]] = {
    "circle": _circle,
    "ring": _ring,
    "triangle": _triangle,
    "square": _square,
    "star": _star,
    "cross": _cross,
}


def _pose(rng: Generator, outline: list[Points], radius: float, centre: tuple[float, float]) -> list[Points]:
    """Squeeze an outline a little, turn it, and move it to where it goes in the image."""
    angle = rng.uniform(0, 2 * math.pi)
    squeeze = np.array([rng.uniform(0.88, 1.0), 1.0])
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    return [(points * squeeze * radius) @ turn + np.array(centre) for points in outline]


def _fill_mask(outline: Sequence[Points], height: int, width: int) -> Mask:
    """Antialiased coverage (0..255) of a polygon whose inner contours are holes."""
    mask = np.zeros((height, width), np.uint8)
    # Pixel centres are at .5 here and at whole numbers in OpenCV; 4 fractional bits place an edge to 1/16 pixel.
    contours = [np.round((points - 0.5) * 16).astype(np.int32) for points in outline]
    cv2.fillPoly(mask, contours, 255, cv2.LINE_AA, shift=4)
    return mask


# --- Textures: a field of [0, 1] over the pixels, then a ramp of colours looked up in it. -----------------------


def _coordinates(height: int, width: int, angle: float) -> tuple[Field, Field]:
    """Pixel coordinates (x, y), each float32 [H, W], in a frame turned by `angle`."""
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return x * c + y * s, y * c - x * s


def _stretch(field: Field) -> Field:
    low, high = float(field.min()), float(field.max())
    return (field - np.float32(low)) * np.float32(1 / max(high - low, 1e-6))


def _gradient(rng: Generator, height: int, width: int, unit: float) -> Field:
    return _stretch(_coordinates(height, width, rng.uniform(0, 2 * math.pi))[0])


def _radial(rng: Generator, height: int, width: int, unit: float) -> Field:
    x, y = _coordinates(height, width, 0.0)
    return _stretch(np.hypot(x - width * rng.uniform(0.2, 0.8), y - height * rng.uniform(0.2, 0.8)))


def _stripes(rng: Generator, height: int, width: int, unit: float) -> Field:
    x, _ = _coordinates(height, width, rng.uniform(0, math.pi))
    wave = np.sin(x * np.float32(2 * math.pi / (unit * rng.uniform(5, 26))))
    # The factor sets how hard the stripes' edges are: from a sine to almost a step.
    return np.clip(wave * np.float32(rng.uniform(0.5, 4)) + 0.5, 0, 1).astype(np.float32)


def _checker(rng: Generator, height: int, width: int, unit: float) -> Field:
    x, y = _coordinates(height, width, rng.uniform(0, math.pi))
    cell = np.float32(unit * rng.uniform(5, 22))
    return ((np.floor(x / cell) + np.floor(y / cell)) % 2).astype(np.float32)


def _waves(rng: Generator, height: int, width: int, unit: float) -> Field:
    x, y = _coordinates(height, width, rng.uniform(0, math.pi))
    bend = np.sin(y * np.float32(2 * math.pi / (unit * rng.uniform(40, 120)))) * np.float32(unit * rng.uniform(4, 14))
    return np.sin((x + bend) * np.float32(2 * math.pi / (unit * rng.uniform(10, 40)))) * 0.5 + np.float32(0.5)


def _clouds(rng: Generator, height: int, width: int, unit: float) -> Field:
    """Value noise: random grids, each finer and fainter than the last, enlarged and summed."""
    field = np.zeros((height, width), np.float32)
    cell, weight = unit * rng.uniform(60, 140), 1.0
    fade = rng.uniform(0.35, 0.75)
    for _ in range(4):
        grid = rng.random((math.ceil(height / cell) + 1, math.ceil(width / cell) + 1), dtype=np.float32)
        field += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(weight)
        cell, weight = max(cell / 3, 1.0), weight * fade
    return _stretch(field)


TEXTURES = (_gradient, _radial, _stripes, _checker, _waves, _clouds)


def _random_colour(rng: Generator, saturation: tuple[float, float], value: tuple[float, float]) -> NDArray[np.float32]:
    """A BGR colour (0..255) of any hue."""
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value)]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0] * np.float32(255)


def _paint(field: Field, colours: Sequence[NDArray[np.float32]]) -> Image:
    """Look up a field of [0, 1] in an even ramp through BGR colours."""
    stops = np.linspace(0, 255, len(colours))
    ramp = np.stack([np.interp(np.arange(256), stops, channel) for channel in np.stack(colours, axis=1)], axis=1)
    index = (field * np.float32(255)).astype(np.uint8)
    return cv2.LUT(cv2.merge([index] * 3), ramp.round().astype(np.uint8)[:, None])


def _background(rng: Generator, height: int, width: int, unit: float) -> Image:
    """A quiet texture under everything, sometimes two of them mixed."""
    value = (0.08, 0.4) if rng.random() < 0.45 else (0.6, 0.97)
    first = _random_colour(rng, (0.05, 0.6), value)
    # Neighbouring tones, not any two: a background of full contrast would hide the shapes, and hurt the eye.
    second = np.clip(first + rng.uniform(-55, 55, 3), 0, 255).astype(np.float32)
    third = np.clip(second + rng.uniform(-40, 40, 3), 0, 255).astype(np.float32)
    field = TEXTURES[rng.integers(len(TEXTURES))](rng, height, width, unit)
    if rng.random() < 0.5:
        share = np.float32(rng.uniform(0.3, 0.8))
        field = field * share + _clouds(rng, height, width, unit) * (1 - share)
    return _paint(field, [first, second, third])


# --- Drawing -----------------------------------------------------------------------------------------------------


@dataclass
class _Canvas:
    """The image being drawn, who owns its pixels, and the scale of its details."""

    image: Image
    owner: NDArray[np.int32]
    unit: float

    def window(self, outline: Sequence[Points], margin: float) -> tuple[slice, slice] | None:
        """Rows and columns around an outline, within the image; None when there are none."""
        points = np.concatenate(list(outline))
        height, width = self.owner.shape
        x1, y1 = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
        x2, y2 = np.minimum(np.ceil(points.max(axis=0) + margin), (width, height)).astype(int)
        return (slice(y1, y2), slice(x1, x2)) if x1 < x2 and y1 < y2 else None

    def blend(self, window: tuple[slice, slice], mask: Mask, paint: Image | NDArray[np.float32]) -> None:
        """Lay `paint` (an image of the window's size, or one colour) over the window, as opaque as `mask`."""
        below = self.image[window].astype(np.float32)
        below += (paint - below) * (mask.astype(np.float32) * np.float32(1 / 255))[..., None]
        self.image[window] = np.rint(below).astype(np.uint8)


def _place_outline(rng: Generator, canvas: _Canvas, name: str) -> tuple[list[Points], float]:
    """Draw a size (log-uniform: as many small as large) and a place; returns the outline and the radius."""
    height, width = canvas.owner.shape
    diameter = max(height, width) * math.exp(rng.uniform(*np.log(DIAMETERS)))
    diameter = min(diameter, 0.9 * min(height, width))
    # The centre stays inside, so that the border cuts some shapes, though never by much more than half.
    inset = 0.2 * diameter
    centre = (rng.uniform(inset, width - inset), rng.uniform(inset, height - inset))
    return _pose(rng, OUTLINES[name](rng), diameter / 2, centre), diameter / 2


def _area(outline: Sequence[Points]) -> float:
    """Area in pixels by the shoelace formula, holes subtracted."""
    areas = []
    for points in outline:
        x, y = points.T
        areas.append(abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2)
    return areas[0] - sum(areas[1:])


def _keeps_others_visible(canvas: _Canvas, window: tuple[slice, slice], covered: NDArray[np.bool_],
                          areas: Sequence[float], visible: NDArray[np.int64]) -> bool:
    lost = np.bincount(canvas.owner[window][covered], minlength=len(areas) + 1)[1:]
    hit = lost > 0
    return bool(np.all((visible - lost)[hit] >= (MIN_VISIBLE + 0.03) * np.asarray(areas)[hit]))


def _draw_shape(rng: Generator, canvas: _Canvas, name: str, areas: list[float], shadowed: bool) -> bool:
    """Place one shape where it hides no other shape too far, and draw it; False when no place was found."""
    visible = np.bincount(canvas.owner.ravel(), minlength=len(areas) + 1)[1:]
    for _ in range(12):
        outline, radius = _place_outline(rng, canvas, name)
        window = canvas.window(outline, margin=2 + 0.35 * radius)
        if window is None:
            continue
        rows, columns = window
        offset = np.array([columns.start, rows.start])
        mask = _fill_mask([points - offset for points in outline], rows.stop - rows.start, columns.stop - columns.start)
        covered = mask >= 128
        area = _area(outline)
        if covered.sum() < (MIN_VISIBLE + 0.03) * area:  # the border cuts too much of it
            continue
        if _keeps_others_visible(canvas, window, covered, areas, visible):
            break
    else:
        return False
    if shadowed:
        _draw_shadow(canvas, window, mask, radius)
    canvas.blend(window, mask, _shape_paint(rng, canvas, window, mask, radius))
    if rng.random() < 0.35:
        _draw_rim(rng, canvas, window, mask, radius)
    areas.append(area)
    canvas.owner[window][covered] = len(areas)
    return True


def _draw_shadow(canvas: _Canvas, window: tuple[slice, slice], mask: Mask, radius: float) -> None:
    """A soft shadow to the lower right, inside the window's margin."""
    shift = 0.1 * radius
    move = np.array([(1, 0, shift), (0, 1, 1.3 * shift)], np.float32)
    shadow = cv2.warpAffine(mask, move, mask.shape[::-1])
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.08 * radius, 0.6))
    canvas.blend(window, (shadow * np.float32(0.5)).astype(np.uint8), np.zeros(3, np.float32))


def _shape_paint(rng: Generator, canvas: _Canvas, window: tuple[slice, slice], mask: Mask, radius: float) -> Image:
    """The filling: one colour or a texture of two, in a colour that stands out from what is below."""
    below = np.array(cv2.mean(canvas.image[window], mask)[:3], np.float32)
    for _ in range(8):
        colour = _random_colour(rng, (0.35, 0.95), (0.35, 1.0))
        if np.linalg.norm(colour - below) > 110:
            break
    height, width = mask.shape
    if rng.random() < 0.3:
        return np.broadcast_to(colour.round().astype(np.uint8), (height, width, 3))
    # Towards white or black, or to another tone: the shape stays one thing, not two halves.
    target = (np.full(3, 255.0), np.zeros(3), rng.uniform(0, 255, 3))[rng.integers(3)]
    second = (colour + (target - colour) * rng.uniform(0.2, 0.5)).astype(np.float32)
    texture = TEXTURES[rng.choice(len(TEXTURES), p=(0.35, 0.2, 0.14, 0.07, 0.1, 0.14))]
    return _paint(texture(rng, height, width, canvas.unit * min(1.0, radius / canvas.unit / 30)), [colour, second])


def _draw_rim(rng: Generator, canvas: _Canvas, window: tuple[slice, slice], mask: Mask, radius: float) -> None:
    """A lighter or darker rim along the inside of the edge."""
    width = max(1, round(radius * rng.uniform(0.04, 0.1)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    rim = cv2.subtract(mask, cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=255))
    tone = np.full(3, 255.0 if rng.random() < 0.5 else 15.0, np.float32)
    canvas.blend(window, (rim * np.float32(0.75)).astype(np.uint8), tone)


def _draw_clutter(rng: Generator, canvas: _Canvas, count: int, thickest: float) -> None:
    """Things that are no objects: wires, arcs, zigzags, bars, blobs and letters."""
    height, width = canvas.owner.shape
    side = max(height, width)
    for _ in range(count):
        mask = np.zeros((height, width), np.uint8)
        start = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        thickness = max(1, round(canvas.unit * rng.uniform(0.8, thickest)))
        kind = rng.integers(6)
        if kind == 0:  # a wire, hanging a little
            end = start + rng.normal(0, 0.5 * side, 2)
            middle = (start + end) / 2 + rng.normal(0, 0.12 * side, 2)
            t = np.linspace(0, 1, 24)[:, None]
            _stroke(mask, (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end, thickness)
        elif kind == 1:  # an arc, too short to pass for a ring
            axes = rng.uniform(0.03, 0.25, 2) * side
            first, turn = rng.uniform(0, 360), rng.uniform(40, 150)
            cv2.ellipse(mask, tuple(map(int, start)), tuple(map(int, axes)), rng.uniform(0, 180), first, first + turn,
                        255, thickness, cv2.LINE_AA)
        elif kind == 2:  # a zigzag
            steps = np.stack([np.arange(7), np.arange(7) % 2 * rng.uniform(0.6, 2)], axis=1) * side * 0.03
            angle = rng.uniform(0, 2 * math.pi)
            turn_matrix = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
            _stroke(mask, start + steps @ turn_matrix, thickness)
        elif kind == 3:  # a bar, too long for a square
            breadth = side * rng.uniform(0.01, 0.03)
            bar = [np.array([(-1.0, -1), (1, -1), (1, 1), (-1, 1)]) * (rng.uniform(4, 9), 1)]
            mask = _fill_mask(_pose(rng, bar, breadth, (start[0], start[1])), height, width)
        elif kind == 4:  # a blob
            lobes, angles = rng.integers(2, 4), np.linspace(0, 2 * math.pi, 60, endpoint=False)
            reach = 1 + rng.uniform(0.4, 0.6) * np.sin(lobes * angles) + 0.25 * np.sin((lobes + 1) * angles + 1)
            blob = [np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)]
            mask = _fill_mask(_pose(rng, blob, side * rng.uniform(0.015, 0.06), (start[0], start[1])), height, width)
        else:  # letters; none that is a ring or a cross
            text = "".join(rng.choice(list("ABEFHKMNRSUVWZ2357"), rng.integers(1, 5)))
            cv2.putText(mask, text, tuple(map(int, start)), cv2.FONT_HERSHEY_SIMPLEX, canvas.unit * rng.uniform(0.4, 1.4),
                        255, thickness, cv2.LINE_AA)
        colour = _random_colour(rng, (0.0, 0.8), (0.1, 1.0))
        x, y, w, h = cv2.boundingRect(mask)
        window = (slice(y, y + h), slice(x, x + w))
        canvas.blend(window, (mask[window] * np.float32(rng.uniform(0.5, 1.0))).astype(np.uint8), colour)
        canvas.owner[mask >= 128] = 0


def _stroke(mask: Mask, points: Points, thickness: int) -> None:
    cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, shift=4)


def _develop(rng: Generator, image: Image) -> Image:
    """What a camera adds: a little blur, grain and a change of exposure."""
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.5:
        grain = rng.integers(-256, 256, image.shape[:2], dtype=np.int16)
        strength = rng.uniform(0.01, 0.05)
        image = np.clip(image + (grain * np.float32(strength))[..., None], 0, 255).astype(np.uint8)
    return cv2.convertScaleAbs(image, alpha=rng.uniform(0.85, 1.1), beta=0)


def draw_scene(seed: int, index: int, size: tuple[int, int]) -> Scene:
    """Draw one scene.

    Args:
        seed: Names a series of scenes (one for training, one for validation, ...).
        index: The scene's number in the series, 0 or more.
        size: Height and width in pixels, each at least 64. Details scale with the longer one.

    Returns:
        The image and its ground truth; it may be without any label.
    """
    rng = np.random.default_rng((seed, index))
    height, width = size
    unit = max(size) / REFERENCE_SIDE
    canvas = _Canvas(_background(rng, height, width, unit), np.zeros(size, np.int32), unit)
    _draw_clutter(rng, canvas, int(rng.integers(0, 7)), thickest=4)
    shadowed = rng.random() < 0.5
    areas: list[float] = []
    drawn: list[int] = []
    for class_id in rng.integers(len(CLASS_NAMES), size=rng.integers(1, 13)):
        if _draw_shape(rng, canvas, CLASS_NAMES[class_id], areas, shadowed):
            drawn.append(int(class_id))
    if rng.random() < 0.3:
        _draw_clutter(rng, canvas, int(rng.integers(1, 4)), thickest=2.5)
    return _label(_develop(rng, canvas.image), canvas.owner, drawn, areas)


def _label(image: Image, owner: NDArray[np.int32], drawn: Sequence[int], areas: Sequence[float]) -> Scene:
    """Box what is seen of each shape; shapes too far hidden lose their label, and their pixels their owner."""
    boxes, classes = [], []
    renumber = np.zeros(len(drawn) + 1, np.int32)
    for number, (class_id, area) in enumerate(zip(drawn, areas, strict=True), start=1):
        seen = (owner == number).astype(np.uint8)
        if np.count_nonzero(seen) < MIN_VISIBLE * area:
            continue
        x, y, w, h = cv2.boundingRect(seen)
        boxes.append((x, y, x + w, y + h))
        classes.append(class_id)
        renumber[number] = len(boxes)
    return Scene(image, np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), renumber[owner])


# --- Writing -----------------------------------------------------------------------------------------------------


def label_lines(scene: Scene) -> list[str]:
    """A scene's labels as YOLO writes them: class, then centre and size as shares of the image's width and height."""
    height, width = scene.image.shape[:2]
    lines = []
    for (x1, y1, x2, y2), class_id in zip(scene.boxes.tolist(), scene.classes.tolist(), strict=True):
        centre = f"{(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f}"
        lines.append(f"{class_id} {centre} {(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}")
    return lines


def write_scenes(out: Path, seed: int, count: int, labels: bool = False) -> list[Path]:
    """Write `count` scenes under `out`, every fourth as PNG, the others as JPEG; returns the images' paths.

    With `labels`, they go to out/images beside out/labels and out/data.yaml, the layout of a YOLO data set.
    """
    images = out / "images" if labels else out
    images.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        width, height = DEMO_SIZES[index % len(DEMO_SIZES)]
        scene = draw_scene(seed, index, (height, width))
        path = images / f"shapes-{index:0{max(2, len(str(count - 1)))}d}{'.png' if index % 4 == 3 else '.jpg'}"
        options = [cv2.IMWRITE_PNG_COMPRESSION, 9] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 88]
        if not cv2.imwrite(str(path), scene.image, options):
            raise OSError(f"{path}: the image could not be written")
        paths.append(path)
        if labels:
            label = out / "labels" / f"{path.stem}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("".join(f"{line}\n" for line in label_lines(scene)), encoding="utf-8")
    if labels:
        names = "".join(f"  {class_id}: {name}\n" for class_id, name in enumerate(CLASS_NAMES))
        text = f"path: .\ntrain: images\nval: images\nnames:\n{names}"
        (out / "data.yaml").write_text(text, encoding="utf-8")
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw scenes of shapes, with or without labels.")
    parser.add_argument("--out", type=Path, default=Path("images"), help="folder to write to (default: images)")
    parser.add_argument("--seed", type=int, default=2, help="which series of scenes (default: 2; 0 trains, 1 validates)")
    parser.add_argument("--count", type=int, default=8, help="how many scenes (default: 8)")
    parser.add_argument("--labels", action="store_true", help="write a YOLO data set: images/, labels/, data.yaml")
    arguments = parser.parse_args()
    for path in write_scenes(arguments.out, arguments.seed, arguments.count, arguments.labels):
        print(path)


if __name__ == "__main__":
    main()
