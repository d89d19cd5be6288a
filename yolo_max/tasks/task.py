"""Task: what every task provides, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yolo_max.support.options import VAL_CONF, PredictOptions
from yolo_max.tasks.contract import Decoder, Prediction
from yolo_max.weights.meta import ModelMeta

if TYPE_CHECKING:
    from yolo_max.tasks.comparison import Judge
    from yolo_max.tasks.reference import Reference


@dataclass(frozen=True)
class Task:
    """All that the rest of the package needs to know about a task.

    Attributes:
        name: Ultralytics' name for it.
        fit: The name of its input transform in `yolo_max.images.transforms`.
        decoder: Makes the decoder for a model from the user's options; ignores those of other tasks.
        prediction: The type of its predictions.
        counted: What it finds, as a singular noun; None where there is always one per image.
        found: From an image's record, the class name and confidence of each thing found.
        csv_columns: The columns of its CSV table, after the image's path.
        csv_rows: From an image's record, the rows of that table.
        metric: The name of its accuracy metric in `yolo_max.verify.val.metrics`.
        judge: Makes the judge of two engines' results for a model from the user's options.
        reference: What to know of Ultralytics' side. Neither is imported to predict.
        ignores: The names of the options that mean nothing to it.
        csv_more: From an image's record, the further columns of its table, which depend on the model.
        merges: How what is found in the tiles of an image may be merged (`yolo_max.tasks.tiles`), the default
            first; none where a tile says nothing about the image.
        val_conf: Minimum confidence for measuring accuracy, as in Ultralytics' validator.
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
    judge: Callable[[ModelMeta, PredictOptions], Judge]
    reference: Callable[[], Reference]
    ignores: frozenset[str] = frozenset()
    csv_more: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda _: ()
    merges: tuple[str, ...] = ()
    val_conf: float = VAL_CONF

    def ignored(self, given: Iterable[str]) -> str | None:
        """A sentence about the options that mean nothing to this task; None if all mean something."""
        names = ", ".join(name for name in given if name in self.ignores)
        return f"Ignored, as the weights are for the task {self.name}: {names}." if names else None
