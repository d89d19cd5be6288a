"""What all tasks have in common: the seam between what a network gives and what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.marks import Marks
from yolo_max.weights.meta import ModelMeta

Outputs = Mapping[str, NDArray[Any]]
"""The raw outputs of one image, by name.

Detection: ``head``, float32 ``[N, 4 * reg_max + nc]``: DFL logits of the four sides, then class logits, of
each cell of ``cells``, intp ``[N]`` ascending; where that is absent, of all cells, level by level, each
row-major.
Classification: ``logits``, float32 ``[nc]``.
"""


class Placement(Protocol):
    """Where an image lies in the canvas that the network saw."""

    @property
    def canvas_size(self) -> tuple[int, int]:
        """(height, width) of the canvas in pixels."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image as displayed, in pixels."""
        ...

    def to_image(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes, float32 ``[N, 4]``, from canvas pixels to image pixels, clipped to the image."""
        ...


class Prediction(Protocol):
    """What a network says of one image; frozen."""

    @property
    def names(self) -> Mapping[int, str]:
        """The model's class names by id."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image as displayed, in pixels."""
        ...

    def counts(self) -> dict[str, int]:
        """How many of each class, by name, most frequent first."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain JSON types."""
        ...

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], names: Mapping[int, str] | None = None) -> Self:
        """Reads what `to_dict` wrote, bit for bit.

        Args:
            record: A mapping with at least the keys that `to_dict` gives.
            names: The model's class names by id; when absent, those that the record mentions.

        Raises:
            ValueError: The record is not of such a prediction.
        """
        ...

    def marks(self) -> Marks:
        """What to draw on the image."""
        ...

    def labels(self, *, confidence: bool = False) -> str:
        """The prediction in Ultralytics' text format (``save_txt``).

        Args:
            confidence: Whether each line has it, where that is a choice (``save_conf``).
        """
        ...


class Decoder(Protocol):
    """Turns the raw outputs of one image into its prediction."""

    @property
    def min_logit(self) -> float:
        """Cells of a detection head without a class logit above this are of no interest."""
        ...

    def __call__(self, outputs: Outputs, placement: Placement) -> Prediction:
        """Decodes one image.

        Raises:
            EngineError: The network gave values that are not numbers.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """The options that predictions depend on, in plain JSON types."""
        ...


@dataclass(frozen=True)
class Task:
    """All that the rest of the house needs to know of a task.

    Attributes:
        name: As Ultralytics has it.
        fit: The name of the transform in `yolo_max.images.transforms` that makes its canvases.
        decoder: Makes the decoder for a model, from the options that users have; those of other tasks are
            passed over.
        prediction: What decoders give.
        counted: What the things that it finds are called, in the singular; None where it finds one an image.
        found: The class name and confidence of each thing in the record of an image.
        csv_columns: Of a table of predictions, behind the image's path.
        csv_rows: The rows of that table, from the record of an image.
        metric: The name of its accuracy in `yolo_max.verify.val.metrics`.
    """

    name: str
    fit: str
    decoder: Callable[[ModelMeta, PredictOptions], Decoder]
    prediction: type[Prediction]
    counted: str | None
    found: Callable[[Mapping[str, Any]], Iterable[tuple[str, float]]]
    csv_columns: tuple[str, ...]
    csv_rows: Callable[[Mapping[str, Any]], Iterable[tuple[object, ...]]]
    metric: str
