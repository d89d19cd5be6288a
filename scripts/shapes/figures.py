"""Scenes of stick figures with the 17 keypoints of COCO, for pose.

A figure stands, walks or waves, facing us, in a shirt and trousers; what is left of it is at our right. Limbs
bend at random. How scenes are made, seeded and labelled, `shapes.scenes` says.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from shapes.canvas import Canvas
from shapes.clutter import draw_clutter
from shapes.outlines import Mask, Points, Window, bounds, fill_mask, rectangle, rotation
from shapes.scenes import REFERENCE_SIDE, Scene, Shape, develop, filling, label, left_in_sight, standing_out
from shapes.textures import background, flat

FIGURE_NAMES = ("figure",)
KEYPOINT_SHAPE = (17, 3)
FLIPPED_KEYPOINTS = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)  # left and right change places

# The order of COCO's keypoints.
NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(5)
SHOULDERS, ELBOWS, WRISTS, HIPS, KNEES, ANKLES = ((first, first + 1) for first in range(5, 17, 2))

# Lengths are shares of a figure's height; heights, of the image's shorter side.
HEIGHTS = (0.3, 0.95)
HEAD, ARM, LEG = 0.085, 0.032, 0.042  # radii


def _limb(start: Points, length: float, angle: float) -> Points:
    """The end of a limb; angle 0 points down, and turns towards the figure's left, our right."""
    return start + length * np.array([math.sin(angle), math.cos(angle)])


def joints(rng: Generator) -> Points:
    """Keypoints of a figure of height 1 around the middle of its hips: float64 [17, 2]."""
    points = np.zeros((17, 2))
    across, up = rotation(rng.normal(0, 0.12))
    up = -up
    build = rng.uniform(0.88, 1.12, 4)  # breadth, torso, arms, legs
    neck = 0.29 * build[1] * up
    head = neck + (0.05 + HEAD) * up
    points[NOSE] = head - 0.01 * up
    for side, sign in enumerate((1, -1)):  # left, then right
        points[LEFT_EYE + side] = head + sign * 0.034 * across + 0.022 * up
        points[LEFT_EAR + side] = head + sign * 0.9 * HEAD * across
        points[SHOULDERS[side]] = neck + sign * 0.105 * build[0] * across
        points[HIPS[side]] = sign * 0.062 * build[0] * across
        arm = rng.uniform(0.1, 2.7)  # hanging to raised
        bend = rng.uniform(-0.3, 1.9)
        points[ELBOWS[side]] = _limb(points[SHOULDERS[side]], 0.155 * build[2], sign * arm)
        points[WRISTS[side]] = _limb(points[ELBOWS[side]], 0.145 * build[2], sign * (arm + bend))
        leg = rng.uniform(-0.1, 0.7)
        bend = rng.uniform(-0.8, 0.1)
        points[KNEES[side]] = _limb(points[HIPS[side]], 0.235 * build[3], sign * leg)
        points[ANKLES[side]] = _limb(points[KNEES[side]], 0.235 * build[3], sign * (leg + bend))
    return points


def _capsule(start: Points, end: Points, radius: float) -> Points:
    """The outline of everything within `radius` of a line."""
    angles = np.arange(24) * (2 * math.pi / 24)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _hull(np.concatenate([start + circle, end + circle]))


def _hull(points: Points) -> Points:
    hull: Points = cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
    return hull


def body(points: Points, height: float) -> dict[str, list[Points]]:
    """The convex parts of a figure in the order they are drawn, by what they are, which gives their color."""
    leg, arm, head = LEG * height, ARM * height, HEAD * height

    def chain(*pairs: tuple[tuple[int, int], tuple[int, int]], radius: float) -> list[Points]:
        return [_capsule(points[a[side]], points[b[side]], radius) for side in (0, 1) for a, b in pairs]

    middle = points[[LEFT_EAR, RIGHT_EAR]].mean(axis=0)
    torso = [_capsule(points[i], points[i], 0.05 * height) for i in (*SHOULDERS, *HIPS)]
    collar = points[list(SHOULDERS)].mean(axis=0)
    return {
        "trousers": chain((HIPS, KNEES), (KNEES, ANKLES), radius=leg),
        "neck": [_capsule(collar, middle, 0.03 * height)],
        "shirt": [_hull(np.concatenate(torso)), *chain((SHOULDERS, ELBOWS), radius=1.15 * arm)],
        "skin": [
            *chain((ELBOWS, WRISTS), radius=arm),
            *(_capsule(points[i], points[i], 0.02 * height) for i in (LEFT_EAR, RIGHT_EAR)),
            _capsule(middle, middle, head),
        ],
        "face": [_capsule(points[i], points[i], 0.014 * height) for i in (NOSE, LEFT_EYE, RIGHT_EYE)],
    }


def _silhouette(parts: list[Points], window: Window) -> Mask:
    """Antialiased coverage of a window by parts that may overlap."""
    mask = fill_mask(parts[:1], window)
    for part in parts[1:]:
        mask |= fill_mask([part], window)
    return mask


def _draw_figure(rng: Generator, canvas: Canvas, shapes: list[Shape]) -> None:
    """Place one figure where it hides no other too far, and draw it; none, if a dozen places do not do."""
    rows, columns = canvas.owner.shape
    for _ in range(12):
        height = min(rows, columns) * math.exp(rng.uniform(*np.log(HEIGHTS)))
        centre = np.array([rng.uniform(0, columns), rng.uniform(0.3 * height, rows - 0.2 * height)])
        points = joints(rng) @ rotation(rng.normal(0, 0.15)) * height + centre
        parts = body(points, height)
        every = [part for kind in parts.values() for part in kind]
        window = canvas.window(every, margin=2)
        if window is None:
            continue
        covered = _silhouette(every, window) >= 128
        whole = _silhouette(every, bounds(every, margin=2)) >= 128
        areas = int(np.count_nonzero(whole)), int(np.count_nonzero(covered))
        shape = Shape(0, *areas, rectangle(every), points)
        rest = left_in_sight(shape, window, covered, canvas, shapes)
        if rest is not None:
            break
    else:
        return
    _dress(rng, canvas, window, parts, height)
    for other, left in rest:
        other.seen = left
    shapes.append(shape)
    canvas.owner[window][covered] = len(shapes)


def _dress(
    rng: Generator, canvas: Canvas, window: Window, parts: dict[str, list[Points]], height: float
) -> None:
    """Draw the parts of a figure in its colors."""
    skin = standing_out(rng, canvas, window, _silhouette(parts["skin"], window))
    eyes = np.full(3, 0 if skin.mean() > 110 else 255, np.float32)
    for kind, outlines in parts.items():
        mask = _silhouette(outlines, window)
        if kind in ("shirt", "trousers"):
            paint = filling(rng, canvas, window, mask, 0.2 * height)
        else:
            paint = flat(mask.shape[0], mask.shape[1], eyes if kind == "face" else skin)
        canvas.blend(window, mask, paint)


def draw_figures(seed: int, index: int, size: tuple[int, int]) -> Scene:
    """Draw one scene of one to four figures; arguments and result are those of `draw_scene`."""
    rng = np.random.default_rng((seed, index))
    height, width = size
    unit = max(size) / REFERENCE_SIDE
    owner: NDArray[np.int32] = np.zeros(size, np.int32)
    canvas = Canvas(background(rng, height, width, unit), owner, unit)
    draw_clutter(rng, canvas, int(rng.integers(0, 5)), thickest=3)
    shapes: list[Shape] = []
    for _ in range(int(rng.integers(1, 5))):
        _draw_figure(rng, canvas, shapes)
    if rng.random() < 0.3:
        draw_clutter(rng, canvas, int(rng.integers(1, 4)), thickest=2.5)
    return label(develop(rng, canvas.image), canvas.owner, shapes, KEYPOINT_SHAPE[0])
