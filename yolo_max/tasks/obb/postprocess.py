"""The raw outputs of an OBB head to rotated boxes in image pixels.

class logits ──threshold──► candidates ──DFL, angle──► rotated boxes ──fast NMS──► image ──► RotatedDetections
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.contract import Outputs, Placement
from yolo_max.tasks.detect.decode import require_finite
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.obb.decode import corners, decode_angles, decode_rotated_boxes, to_image
from yolo_max.tasks.obb.fast_nms import fast_nms
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.weights.meta import ModelMeta


@dataclass(frozen=True)
class RotatedPostprocess(Postprocess):
    """Turns the raw outputs of one image into its rotated detections; options are those of detection.

    Attributes:
        angle_logit: Whether raw angles are logits; else they are radians.
    """

    angle_logit: bool = True

    @classmethod
    def for_model(cls, meta: ModelMeta, options: PredictOptions) -> Self:
        """The postprocessing for a model; see `Postprocess.for_model`."""
        logit = bool(meta.network.head.args["angle_logit"])
        return replace(super().for_model(meta, options), angle_logit=logit)

    def __call__(self, outputs: Outputs, placement: Placement) -> RotatedDetections:
        """Decodes one image.

        Args:
            outputs: ``head``, ``angle`` and ``cells`` (see `yolo_max.tasks.contract.Outputs`): all cells, or
                at least those with a class logit above `min_logit`.
            placement: How the image was placed on the canvas.

        Returns:
            The detections in image pixels, most confident first; ties by cell, then by class.

        Raises:
            ValueError: An output has the wrong shape or dtype for the canvas and the classes.
            EngineError: The network gave class logits that are NaN, or boxes that are not finite.
        """
        rows, angle = len(outputs["head"]), outputs["angle"]
        if angle.dtype != np.float32 or angle.shape != (rows, 1):
            raise ValueError(f"The angles must be float32 {(rows, 1)}, not {angle.dtype} {angle.shape}.")
        kept = self.kept(outputs, placement)
        with np.errstate(over="ignore", invalid="ignore"):
            boxes = to_image(kept.boxes, placement)
            require_finite("boxes", corners(boxes))
        return RotatedDetections(
            xywhr=boxes,
            confidence=kept.confidence,
            class_id=kept.class_id,
            names=self.names,
            image_size=placement.image_size,
        )

    def _boxes(
        self,
        outputs: Outputs,
        row: NDArray[np.intp],
        points: NDArray[np.float32],
        stride: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        angle = decode_angles(outputs["angle"][row], self.angle_logit)
        return decode_rotated_boxes(outputs["head"][row, : self.box_channels], angle, points, stride)

    def _suppress(
        self,
        boxes: NDArray[np.float32],
        confidence: NDArray[np.float32],
        class_id: NDArray[np.int32],
        placement: Placement,
    ) -> NDArray[np.intp]:
        centres = self._offset_by_class(boxes[:, :2], class_id, placement)
        return fast_nms(np.hstack([centres, boxes[:, 2:]]), confidence, self.iou, self.max_det)
