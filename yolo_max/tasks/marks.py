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
        short_label: The text where ``label`` does not fit into the image.
    """

    xyxy: tuple[float, float, float, float]
    class_id: int
    label: str
    short_label: str


class LineMark(NamedTuple):
    """A line of text about the image as a whole.

    Attributes:
        text: The text.
        class_id: Chooses the color.
    """

    text: str
    class_id: int


@dataclass(frozen=True)
class Marks:
    """All marks of one image, the most important first.

    Attributes:
        boxes: Boxes with labels.
        lines: Text for the upper left corner.
    """

    boxes: tuple[BoxMark, ...] = ()
    lines: tuple[LineMark, ...] = ()
