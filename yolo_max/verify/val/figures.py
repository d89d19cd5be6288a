"""Figures of accuracy, in the form common to all metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Row:
    """The figures of one class, or of all classes.

    Attributes:
        name: The dataset's name of the class.
        images: Number of images that hold such an object.
        objects: Number of objects; None if every image holds one.
        figures: Figures in [0, 1] by display name; None without objects.
        class_id: The dataset's id of the class; None for all classes.
    """

    name: str
    images: int
    objects: int | None
    figures: Mapping[str, float | None]
    class_id: int | None = None

    @property
    def count(self) -> int:
        """The number of objects."""
        return self.images if self.objects is None else self.objects


class Figures(Protocol):
    """How well the objects of a dataset are found."""

    @property
    def compared(self) -> tuple[str, ...]:
        """The names of the figures by which two engines are compared."""
        ...

    @property
    def judged(self) -> tuple[str, ...]:
        """Those of them that the parity rubric bounds, the most important first."""
        ...

    @property
    def images(self) -> int:
        """Number of measured images."""
        ...

    def rows(self) -> list[Row]:
        """One row per class that has objects, by id."""
        ...

    def total(self) -> Row:
        """All classes."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON types, unrounded."""
        ...
