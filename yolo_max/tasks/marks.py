"""Marks: what to draw on an image, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class BoxMark(NamedTuple):
    """A box with a label.

    Attributes:
        xyxy: (left, top, right, bottom) in pixels of the image.
        class_id: Chooses the color.
        label: The text beside it.
        short_label: The same without the confidence.
        corners: The four corners (x, y) of a rotated box, of which ``xyxy`` is the rectangle around it; none
            of an upright one.
        track_id: Its number in its video, if it is tracked.
    """

    xyxy: tuple[float, float, float, float]
    class_id: int
    label: str
    short_label: str
    corners: tuple[tuple[float, float], ...] = ()
    track_id: int | None = None


class MaskMark(NamedTuple):
    """A region, in the color of its box.

    Attributes:
        counts: Its pixels, as COCO's compressed counts (`yolo_max.tasks.rle`).
        size: (height, width) in pixels of the mask that these make up.
        xyxy: (left, top, right, bottom) of that mask in pixels of the image, which it may overhang.
    """

    counts: str
    size: tuple[int, int]
    xyxy: tuple[float, float, float, float]


class LineMark(NamedTuple):
    """A line of text about the image as a whole.

    Attributes:
        text: The text.
        short_text: The same without the confidence.
        class_id: Chooses the color.
    """

    text: str
    short_text: str
    class_id: int


class SkeletonMark(NamedTuple):
    """The keypoints of one object, and the limbs that join them.

    Attributes:
        points: (x, y) of each keypoint in pixels of the image; None for those that are hidden.
        colors: Their colors, (blue, green, red); without any, they are told apart by their numbers.
        limbs: The numbers of two keypoints, and a color. One with a hidden end is not drawn.
    """

    points: tuple[tuple[float, float] | None, ...]
    colors: tuple[tuple[int, int, int], ...] = ()
    limbs: tuple[tuple[int, int, tuple[int, int, int]], ...] = ()


class TrailMark(NamedTuple):
    """The way that an object has come.

    Attributes:
        points: (x, y) in pixels of the image, the latest last.
        class_id: Chooses the color, as the box's does.
        track_id: Likewise.
    """

    points: tuple[tuple[float, float], ...]
    class_id: int
    track_id: int


@dataclass(frozen=True)
class Marks:
    """All marks of one image, the most important first.

    Attributes:
        boxes: Boxes with labels.
        lines: Text for the upper left corner.
        masks: Those of the boxes, in their order; none if they have none.
        skeletons: One for each box, or none.
        trails: Those of tracked objects.
    """

    boxes: tuple[BoxMark, ...] = ()
    lines: tuple[LineMark, ...] = ()
    masks: tuple[MaskMark, ...] = ()
    skeletons: tuple[SkeletonMark, ...] = ()
    trails: tuple[TrailMark, ...] = ()

    def scaled(self, factor: float) -> Marks:
        """The same for an image whose sides are so many times as long."""

        def point(xy: tuple[float, float]) -> tuple[float, float]:
            return xy[0] * factor, xy[1] * factor

        def corners(xyxy: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
            return *point(xyxy[:2]), *point(xyxy[2:])

        return Marks(
            tuple(
                box._replace(xyxy=corners(box.xyxy), corners=tuple(map(point, box.corners)))
                for box in self.boxes
            ),
            self.lines,
            tuple(mask._replace(xyxy=corners(mask.xyxy)) for mask in self.masks),
            tuple(
                each._replace(points=tuple(xy and point(xy) for xy in each.points)) for each in self.skeletons
            ),
            tuple(each._replace(points=tuple(map(point, each.points))) for each in self.trails),
        )
