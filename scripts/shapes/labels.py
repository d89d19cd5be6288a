"""Labels as Ultralytics reads them: one line per object, places as shares of the image's sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from shapes.scenes import Scene


def _line(class_id: int, places: Iterable[float]) -> str:
    return " ".join([str(class_id), *(f"{place:.6f}" for place in places)])


def _sides(scene: Scene) -> NDArray[np.float64]:
    """Width and height."""
    height, width = scene.image.shape[:2]
    return np.array([width, height], np.float64)


def _centre_and_size(scene: Scene) -> NDArray[np.float64]:
    low, high = scene.boxes[:, :2] / _sides(scene), scene.boxes[:, 2:] / _sides(scene)
    return np.hstack([(low + high) / 2, high - low])


def _detect(scene: Scene) -> list[str]:
    """Class, centre x y, width, height."""
    rows = zip(scene.classes.tolist(), _centre_and_size(scene).tolist(), strict=True)
    return [_line(class_id, places) for class_id, places in rows]


def _segment(scene: Scene) -> list[str]:
    """Class, then the corners x y of one polygon."""
    lines = []
    for number, class_id in enumerate(scene.classes.tolist(), start=1):
        points = outline(scene.owner == number)
        # A pixel's own place is its middle.
        lines.append(_line(class_id, ((points + 0.5) / _sides(scene)).ravel().tolist()))
    return lines


def _pose(scene: Scene) -> list[str]:
    """Class, centre x y, width, height, then x y and visibility of each keypoint."""
    lines = []
    keypoints = scene.keypoints.astype(np.float64)
    keypoints[..., :2] /= _sides(scene)
    for line, points in zip(_detect(scene), keypoints.tolist(), strict=True):
        lines.append(" ".join([line, *(f"{x:.6f} {y:.6f} {seen:.0f}" for x, y, seen in points)]))
    return lines


def _obb(scene: Scene) -> list[str]:
    """Class, then the four corners x y, as DOTA has them."""
    corners = (scene.corners / _sides(scene)).reshape(-1, 8).tolist()
    return [_line(class_id, places) for class_id, places in zip(scene.classes.tolist(), corners, strict=True)]


LABELS: dict[str, Callable[[Scene], list[str]]] = {
    "detect": _detect,
    "segment": _segment,
    "pose": _pose,
    "obb": _obb,
}


def outline(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """One closed polygon [N, 2] x y that OpenCV fills to exactly these pixels, however many parts and holes.

    Parts and holes are joined by lines there and back: inside, a line changes nothing; between two parts it
    adds itself, one pixel wide.
    """
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rest = [contour[:, 0].astype(np.int64) for contour in contours]
    path: NDArray[np.int64] = rest.pop(int(np.argmax([cv2.contourArea(contour) for contour in contours])))
    while rest:
        links = [_nearest(path, contour) for contour in rest]
        number = int(np.argmin([distance for distance, _, _ in links]))
        _, here, there = links[number]
        contour = rest.pop(number)
        detour = np.concatenate([contour[there:], contour[: there + 1]])
        path = np.concatenate([path[: here + 1], detour, path[here:]])
    return path


def _nearest(first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[int, int, int]:
    """The least squared distance between points of two contours, and their indices."""
    distances = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    here, there = np.unravel_index(int(np.argmin(distances)), distances.shape)
    return int(distances[here, there]), int(here), int(there)
