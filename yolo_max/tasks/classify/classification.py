"""Classification: the probability of each class for a whole image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import UsageError
from yolo_max.support.extras import require
from yolo_max.support.numbers import shortest_float
from yolo_max.tasks.exports import Exports
from yolo_max.tasks.marks import LineMark, Marks
from yolo_max.tasks.records import read_size
from yolo_max.tasks.selection import rows_of

TOP = 5
"""How many classes are printed, drawn and written, as in Ultralytics."""


class ClassScore(NamedTuple):
    """One class.

    Attributes:
        class_id: Key into the model's class names.
        class_name: The name of that class.
        confidence: Its probability, in [0, 1].
    """

    class_id: int
    class_name: str
    confidence: float


@dataclass(frozen=True, eq=False, repr=False)
class Classification(Exports):
    """The probability of each class for one image; iterates over `ClassScore`, most probable first.

    The array is copied and made read-only. ``str`` gives the `TOP` classes, then height and width:
    "tabby 0.81, lynx 0.09 (480x640)".

    Attributes:
        probabilities: float32 [nc] in [0, 1], by class id.
        names: The model's class names by id, 0 to nc - 1.
        image_size: (height, width) of the displayed image in pixels.

    Raises:
        ValueError: A shape, dtype or value is not as described.
    """

    probabilities: NDArray[np.float32]
    names: Mapping[int, str]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        count = len(self.names)
        array = self.probabilities
        if array.dtype != np.float32 or array.shape != (count,) or not count:
            raise ValueError(
                f"A classification needs float32 ({count},) probabilities, not {array.dtype} {array.shape}."
            )
        if not ((array >= 0) & (array <= 1)).all():  # also refuses NaN
            raise ValueError("A classification needs probabilities in [0, 1].")
        if self.names.keys() != set(range(count)):
            raise ValueError("A classification needs a name for each class id from 0 on.")
        array = array.copy()
        array.flags.writeable = False
        object.__setattr__(self, "probabilities", array)

    @cached_property
    def class_id(self) -> NDArray[np.int32]:
        """int32 [nc], most probable first; ties by id."""
        return np.argsort(-self.probabilities, kind="stable").astype(np.int32)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """float32 [nc], descending: the probabilities of `class_id`."""
        return self.probabilities[self.class_id]

    @property
    def top1(self) -> ClassScore:
        """The most probable class."""
        return self.top5[0]

    @property
    def top5(self) -> tuple[ClassScore, ...]:
        """The five most probable classes, fewer if the model has fewer."""
        return tuple(self._score(class_id) for class_id in self.class_id[:TOP].tolist())

    def _score(self, class_id: int) -> ClassScore:
        return ClassScore(class_id, self.names[class_id], float(self.probabilities[class_id]))

    def __iter__(self) -> Iterator[ClassScore]:
        return map(self._score, self.class_id.tolist())

    def __len__(self) -> int:
        return len(self.probabilities)

    def __str__(self) -> str:
        height, width = self.image_size
        return f"{', '.join(line.text for line in self.marks().lines)} ({height}x{width})"

    def __repr__(self) -> str:
        return f"<Classification: {self}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Classification):
            return NotImplemented
        return (
            self.image_size == other.image_size
            and self.names == other.names
            and np.array_equal(self.probabilities, other.probabilities)
        )

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, index: int) -> ClassScore: ...
    @overload
    def __getitem__(
        self, index: slice | NDArray[np.bool_] | NDArray[np.integer[Any]]
    ) -> tuple[ClassScore, ...]: ...
    def __getitem__(
        self, index: int | slice | NDArray[np.bool_] | NDArray[np.integer[Any]]
    ) -> ClassScore | tuple[ClassScore, ...]:
        """The most probable class for 0, the next for 1; a tuple for a slice, a boolean mask or indices.

        Raises:
            IndexError: There are fewer classes, or the mask has another length.
            UsageError: The index is of another kind.
        """
        rows = rows_of(index, len(self))
        if isinstance(rows, int):
            return self._score(int(self.class_id[rows]))
        return tuple(self._score(class_id) for class_id in self.class_id[rows].tolist())

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:  # noqa: ARG002
        """The top five; see `yolo_max.tasks.exports.Exports.summary`."""
        return [
            {"name": each.class_name, "class": each.class_id, "confidence": round(each.confidence, decimals)}
            for each in self.top5
        ]

    def _blank_row(self) -> dict[str, Any]:
        return {"name": "", "class": 0, "confidence": 0.0}

    def to_coco(
        self,
        image_id: int | str = 0,  # noqa: ARG002
        categories: Mapping[int, int] | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """Raises UsageError: COCO has no form for the class of a whole image."""
        raise UsageError("COCO has no form for the class of a whole image; use to_json.")

    def to_supervision(self) -> Any:
        """Every class, as ``supervision.Classifications``."""
        supervision = require("supervision", "supervision", "to_supervision")
        return supervision.Classifications(
            class_id=self.class_id.astype(int), confidence=self.confidence.copy()
        )

    def counts(self) -> dict[str, int]:
        """The most probable class, once."""
        return {self.top1.class_name: 1}

    def to_dict(self) -> dict[str, Any]:
        """The classification as plain JSON types; `from_dict` restores the same float32 values.

        Returns:
            ``{"image_size": [height, width], "top5": [{"class_id", "class_name", "confidence"}, ...],
            "probabilities": [...]}``, the last by class id.
        """
        return {
            "image_size": list(self.image_size),
            "top5": [
                {
                    "class_id": class_id,
                    "class_name": self.names[class_id],
                    "confidence": shortest_float(self.probabilities[class_id]),
                }
                for class_id in self.class_id[:TOP].tolist()
            ],
            "probabilities": [shortest_float(each) for each in self.probabilities],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], names: Mapping[int, str] | None = None) -> Self:
        """Restores what `to_dict` wrote.

        Args:
            record: A mapping with at least the keys that `to_dict` gives.
            names: The model's class names by id; by default those of the top five, and "class 7" for
                the others.

        Raises:
            ValueError: The record lacks a key, or its values are not a classification.
        """
        try:
            probabilities = np.array(record["probabilities"], np.float32)
            size = read_size(record["image_size"])
            if names is None:
                known = {each["class_id"]: each["class_name"] for each in record["top5"]}
                names = {i: known.get(i, f"class {i}") for i in range(len(probabilities))}
            return cls(probabilities, names, size)
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"The record does not describe a classification ({error!r}).") from error

    def marks(self) -> Marks:
        """One line per class of the top five."""
        return Marks(
            lines=tuple(
                LineMark(f"{each.class_name} {each.confidence:.2f}", each.class_name, each.class_id)
                for each in self.top5
            )
        )

    def labels(self, *, confidence: bool = False) -> str:  # noqa: ARG002  (always included)
        """The top five in the format of Ultralytics' ``save_txt``.

        Args:
            confidence: Ignored: the format always has it.

        Returns:
            One line ``confidence name`` per class.
        """
        return "".join(f"{each.confidence:.2f} {each.class_name}\n" for each in self.top5)
