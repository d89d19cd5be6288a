"""Figures of accuracy, as every metric gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol


@dataclass(frozen=True)
class Row:
    """The figures of one class, or of all.

    Attributes:
        name: The dataset's name of the class.
        images: In how many images there is one.
        objects: How many there are; None where images hold one each.
        figures: By their names for people, each in [0, 1]; None where there is nothing to find.
    """

    name: str
    images: int
    objects: int | None
    figures: Mapping[str, float | None]

    @property
    def count(self) -> int:
        """How much there is to find."""
        return self.images if self.objects is None else self.objects


class Figures(Protocol):
    """How well the objects of a dataset are found.

    Attributes:
        compared: The figures by which two engines are compared, the deciding one first.
    """

    compared: ClassVar[tuple[str, ...]]

    @property
    def images(self) -> int:
        """How many images were measured on."""
        ...

    def rows(self) -> list[Row]:
        """A row for each class that there is, by id."""
        ...

    def total(self) -> Row:
        """All classes."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON types, unrounded."""
        ...
