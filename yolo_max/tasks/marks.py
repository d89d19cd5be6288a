"""Marks: what to draw on an image, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class BoxMark(NamedTuple):
    """A box with a label.

    Attributes:
        xyxy: (left, top, right, bottom) in pixels of the image.
        class_id: Decides on the color.
        label: What is written beside it ...
        short_label: ... and what, where that does not fit into the image.
    """

    xyxy: tuple[float, float, float, float]
    class_id: int
    label: str
    short_label: str


class LineMark(NamedTuple):
    """A line of text about the image as a whole.

    Attributes:
        text: What it says.
        class_id: Decides on the color.
    """

    text: str
    class_id: int


@dataclass(frozen=True)
class Marks:
    """All marks of one image, the most important first.

    Attributes:
        boxes: On the image.
        lines: In its upper left corner.
    """

    boxes: tuple[BoxMark, ...] = ()
    lines: tuple[LineMark, ...] = ()
