"""What a task says about the results of two engines on the same image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.contract import Outputs, Placement, Prediction
from yolo_max.tasks.rubric import TensorDifference, Verdict

Samples = Mapping[str, NDArray[np.float64]]
"""Differences within one image, float64 [N] by the key of their `Measure`."""


class Measure(NamedTuple):
    """A difference that is measured in each image.

    Attributes:
        key: Its name in ``compare.json``.
        name: Its name in tables.
        bound: The rubric's bound; None if that depends on the values.
        column: Heading of an image's worst in the table of images; None leaves it out.
        similarity: Whether that column has 1 minus the difference, so that the least is the worst.
        tile: What to call the largest of all at the head of the report; None leaves it out.
        unit: Of the difference: "px".
    """

    key: str
    name: str
    bound: float | None
    column: str | None = None
    similarity: bool = False
    tile: str | None = None
    unit: str = ""


class RawDifference(Protocol):
    """How far apart the raw outputs of one image are, before post-processing."""

    @property
    def tensors(self) -> tuple[TensorDifference, ...]:
        """Each output itself."""
        ...

    @property
    def score(self) -> float:
        """Largest difference of a class score, or of a class probability."""
        ...

    @property
    def verdict(self) -> Verdict:
        """The rubric on them, and on what each cell or class decodes to."""
        ...

    def samples(self) -> Samples:
        """What the comparison shows of it."""
        ...

    def to_dict(self) -> dict[str, float]:
        """Its entry in ``compare.json``."""
        ...


@dataclass(frozen=True)
class PredictionDifference:
    """How two predictions for one image compare, MAX's first.

    Indices refer to what the predictions list, most confident first.

    Attributes:
        verdict: The rubric on them.
        pairs: intp [P] and intp [P], the indices of what both found.
        alone: intp [N] and intp [M], the indices of what only MAX or only the other found, ascending.
        excused: bool arrays over all that each lists: whether rounding may decide about it.
        samples: What was measured.
        moved: How far apart they are on the whole, to sort images by.
        same: By key of `Judge.agreements`, whether they agree.
        record: Further entries of the image in ``compare.json``.
    """

    verdict: Verdict
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]]
    alone: tuple[NDArray[np.intp], NDArray[np.intp]]
    excused: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    samples: Samples
    moved: float
    same: Mapping[str, bool] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """A task's rubric, for one model and the options in use; its bounds are in `yolo_max.tasks.rubric`.

    Attributes:
        measures: What is measured in each image, in the order of tables.
        thing: One of what predictions list: "detection".
        things: Its plural.
        listed: The key of that list in a prediction's record.
        agreements: What predictions agree about or not as a whole, by its key in ``compare.json``.
    """

    measures: ClassVar[tuple[Measure, ...]]
    thing: ClassVar[str]
    things: ClassVar[str]
    listed: ClassVar[str]
    agreements: ClassVar[Mapping[str, str]]

    @property
    def conditions(self) -> str:
        """The options that matter, in words; may be empty."""
        ...

    def output_size(self, canvas_size: tuple[int, int]) -> int:
        """How many numbers the raw outputs of an image are, for a canvas of (height, width) pixels."""
        ...

    def raw(
        self,
        ours: Outputs,
        reference: Outputs,
        canvas_size: tuple[int, int],
        exact: Outputs | None = None,
    ) -> RawDifference:
        """Compares the whole raw outputs of one image.

        Args:
            ours: MAX's.
            reference: PyTorch's, in float32.
            canvas_size: (height, width) of the network's input, in pixels.
            exact: PyTorch's in float64; the rubric then bounds MAX's distance from it, too.
        """
        ...

    def predictions(
        self, ours: Prediction, reference: Prediction, outputs: Outputs, placement: Placement
    ) -> PredictionDifference:
        """Compares what two engines found in one image.

        Args:
            ours: MAX's prediction.
            reference: The other's.
            outputs: The whole raw outputs by which to tell what rounding decides: the other's, or if it shows
                none MAX's.
            placement: How the image was placed on the canvas.
        """
        ...
