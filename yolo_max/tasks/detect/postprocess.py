"""The network's raw head to boxes in image pixels, in NumPy.

    class logits ──threshold──► candidates ──DFL, dist2bbox──► boxes ──NMS──► undo letterbox ──► Detections

A one-to-one head gives each object a single box: its most confident candidates are the detections.

Nearly every cell is background, so the class logits are compared with an exact threshold first, and only the
candidates are decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import EngineError, UsageError
from yolo_max.support.option import a_fraction, at_least
from yolo_max.support.options import PredictOptions
from yolo_max.support.parse import parse_classes
from yolo_max.tasks.contract import Outputs, Placement
from yolo_max.tasks.detect.decode import (
    anchor_points,
    boxes_in_image,
    decode_boxes,
    logit_threshold,
    require_finite,
    sigmoid,
)
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.nms import nms
from yolo_max.weights.meta import ModelMeta

TOP = 300
"""The most candidates that a one-to-one head gives, unless ``max_det`` is higher."""
CLASS_OFFSET = 7680
"""Ultralytics' ``max_wh``: boxes are shifted by class id times this many pixels for one joint NMS."""


class Kept(NamedTuple):
    """What NMS leaves of an image's cells, most confident first; ties by cell, then by class.

    Attributes:
        row: intp [N], the row of each in the outputs that have one per cell.
        boxes: float32 [N, 4] left, top, right, bottom in canvas pixels, not clipped; or as the task has them.
        confidence: float32 [N] in [0, 1], descending.
        class_id: int32 [N].
    """

    row: NDArray[np.intp]
    boxes: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]


@dataclass(frozen=True)
class Postprocess:
    """Turns the raw head of one image into its detections. Names and defaults are Ultralytics'.

    Attributes:
        names: The model's class names by id, 0 to nc - 1.
        strides: Canvas pixels per cell, one per level of the head.
        reg_max: Bins per side of the box distribution.
        nms: Whether overlapping boxes are dropped; a one-to-one head needs no NMS.
        conf: Boxes must have a higher confidence than this.
        iou: A box that overlaps a better one by more than this is dropped.
        classes: The class ids to keep; None for all.
        agnostic_nms: Whether boxes of different classes suppress each other.
        multi_label: Whether a cell gives one box for each class above ``conf``, as in validation, instead of
            one for its best class. Without NMS it does so unless ``agnostic_nms`` is set.
        max_det: The maximum number of boxes per image.
        max_nms: The maximum number of candidates for NMS; the most confident are used.

    Raises:
        UsageError: An option is outside its range.
    """

    names: Mapping[int, str]
    strides: tuple[int, ...] = (8, 16, 32)
    reg_max: int = 16
    nms: bool = True
    conf: float = PredictOptions.conf
    iou: float = PredictOptions.iou
    classes: Sequence[int] | None = None
    agnostic_nms: bool = PredictOptions.agnostic_nms
    multi_label: bool = PredictOptions.multi_label
    max_det: int = PredictOptions.max_det
    max_nms: int = 30000

    @classmethod
    def for_model(cls, meta: ModelMeta, options: PredictOptions) -> Self:
        """The postprocessing for a model.

        Args:
            meta: The model's.
            options: What a user chose; ``classes`` by id or name.

        Raises:
            UsageError: There is no such class.
        """
        return cls(
            meta.names,
            strides=meta.network.strides,
            reg_max=meta.network.head.args["reg_max"],
            nms=meta.network.nms if options.nms else meta.network.without_nms().nms,
            conf=options.conf,
            iou=options.iou,
            classes=parse_classes(options.classes, meta.names),
            agnostic_nms=options.agnostic_nms,
            multi_label=options.multi_label,
            max_det=options.max_det,
        )

    def __post_init__(self) -> None:
        for option in ("conf", "iou"):
            a_fraction(option, getattr(self, option))
        for option in ("max_det", "max_nms"):
            at_least(1)(option, getattr(self, option))
        unknown = sorted(set(self.classes or ()) - self.names.keys())
        if unknown:
            raise UsageError(
                f"classes names {unknown}, but the model's class ids run from 0 to {len(self.names) - 1}."
            )

    @property
    def min_logit(self) -> float:
        """A cell gives detections only if a class logit exceeds this; a float32."""
        return float(logit_threshold(self.conf))

    @property
    def limit(self) -> int:
        """The maximum number of boxes per image."""
        return self.max_det

    @property
    def every_class(self) -> bool:
        """Whether a cell gives a box for each class above ``conf``, or only for its best class."""
        return self.multi_label if self.nms else not self.agnostic_nms

    def settings(self) -> dict[str, Any]:
        """The options that affect detections, in plain JSON types."""
        names = ("conf", "iou", "classes", "max_det", "agnostic_nms", "multi_label", "nms")
        return {name: getattr(self, name) for name in names}

    def __call__(self, outputs: Outputs, placement: Placement) -> Detections:
        """Decodes one image.

        Args:
            outputs: ``head`` and ``cells`` (see `yolo_max.tasks.contract.Outputs`): all cells, or at least
                those with a class logit above `min_logit`.
            placement: How the image was placed on the canvas.

        Returns:
            The detections in image pixels, most confident first; ties by cell, then by class.

        Raises:
            ValueError: The head has the wrong shape or dtype for the canvas and the classes.
            EngineError: The network gave class logits that are NaN, or boxes that are not finite.
        """
        kept = self.kept(outputs, placement)
        return Detections(
            boxes_in_image(kept.boxes, placement),
            kept.confidence,
            kept.class_id,
            self.names,
            placement.image_size,
        )

    def kept(self, outputs: Outputs, placement: Placement) -> Kept:
        """Decodes one image as far as the canvas; arguments and errors are those of a call."""
        points, stride = anchor_points(placement.canvas_size, self.strides)
        logits = outputs["head"]
        cells = outputs.get("cells", np.arange(len(points)))
        shape = (len(cells), self.box_channels + len(self.names))
        if logits.dtype != np.float32 or logits.shape != shape:
            raise ValueError(f"The head must be float32 {shape}, not {logits.dtype} {logits.shape}.")

        row, class_id, confidence = self._candidates(logits[:, self.box_channels :])
        anchor = cells[row]
        boxes = self._boxes(outputs, row, points[anchor], stride[anchor])
        require_finite("boxes", boxes)
        if self.nms:
            best = self._suppress(boxes, confidence, class_id, placement)
        else:
            best = self._most_confident(confidence, class_id, len(points))
        return Kept(row[best], boxes[best], confidence[best], class_id[best])

    @property
    def box_channels(self) -> int:
        """The number of box logits of a cell; its class logits follow."""
        return 4 * self.reg_max

    def _boxes(
        self,
        outputs: Outputs,
        row: NDArray[np.intp],
        points: NDArray[np.float32],
        stride: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """The boxes of some rows of the outputs, in canvas pixels, given their cells' centres and strides."""
        return decode_boxes(outputs["head"][row, : self.box_channels], points, stride)

    def _suppress(
        self,
        boxes: NDArray[np.float32],
        confidence: NDArray[np.float32],
        class_id: NDArray[np.int32],
        placement: Placement,
    ) -> NDArray[np.intp]:
        """Indices of the boxes that NMS keeps, most confident first."""
        return nms(self._offset_by_class(boxes, class_id, placement), confidence, self.iou, self.max_det)

    def _candidates(
        self, class_logits: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.float32]]:
        """(row, class id, confidence) of each candidate, ordered by row, then class."""
        # NaN counts as a hit, and is found below: a separate check would double the time spent here.
        hits = np.flatnonzero(~(class_logits <= logit_threshold(self.conf)))
        row, class_id = np.divmod(hits, class_logits.shape[1])
        if not self.every_class:
            row = np.unique(row)
            class_id = class_logits[row].argmax(axis=1)
        if np.isnan(class_logits[row, class_id]).any():
            raise EngineError("the network gave class logits that are NaN; its weights or engine are broken.")
        if self.classes is not None and self.nms:
            wanted = np.isin(class_id, self.classes)
            row, class_id = row[wanted], class_id[wanted]
        confidence = sigmoid(class_logits[row, class_id])
        if len(row) > self.max_nms:
            best = np.sort(np.argsort(-confidence, kind="stable")[: self.max_nms])
            row, class_id, confidence = row[best], class_id[best], confidence[best]
        return row, class_id.astype(np.int32), confidence

    def _most_confident(
        self, confidence: NDArray[np.float32], class_id: NDArray[np.int32], cells: int
    ) -> NDArray[np.intp]:
        """Indices of the detections of a one-to-one head, most confident first.

        As in Ultralytics, the classes are picked among the best `TOP`, or more if more are asked for.
        """
        best = np.argsort(-confidence, kind="stable")[: min(max(self.max_det, TOP), cells)]
        if self.classes is not None:
            best = best[np.isin(class_id[best], self.classes)]
        return best[: self.max_det]

    def _offset_by_class(
        self, xyxy: NDArray[np.float32], class_id: NDArray[np.int32], placement: Placement
    ) -> NDArray[np.float32]:
        """The boxes shifted by class, so that boxes of different classes never overlap.

        The sum is rounded to float32 as in Ultralytics, which decides near ties in NMS. Only on canvases
        larger than Ultralytics' offset is a larger one used.
        """
        if self.agnostic_nms:
            return xyxy
        reach = max(placement.canvas_size) + 2 * self.reg_max * max(self.strides)
        return xyxy + (class_id * np.float32(max(CLASS_OFFSET, reach))).astype(np.float32)[:, None]
