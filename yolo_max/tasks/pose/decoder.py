"""Raw outputs to poses: the boxes that detection keeps, and the keypoints of their cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.contract import Outputs, Placement
from yolo_max.tasks.detect.decode import anchor_points, boxes_in_image, require_finite, sigmoid
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.pose.poses import Poses
from yolo_max.weights.meta import ModelMeta


def decode_keypoints(
    raw: NDArray[np.float32],
    points: NDArray[np.float32],
    stride: NDArray[np.float32],
    shape: tuple[int, int],
    *,
    doubled: bool,
) -> NDArray[np.float32]:
    """Keypoints from raw outputs (``kpts_decode`` of Ultralytics' heads).

    Args:
        raw: float32 [N, K * D]: of each keypoint the offset in cells, x then y, then if D is 3 the logit of
            its visibility.
        points: float32 [N, 2], the centres of the cells, in cells.
        stride: float32 [N, 1], canvas pixels per cell.
        shape: (K, D).
        doubled: Whether offsets are doubled and start at the cell's corner (Pose); otherwise they start at
            its centre (Pose26).

    Returns:
        float32 [N, K, D]: x and y in canvas pixels, not clipped, and the visibility in [0, 1].
    """
    values = raw.reshape(len(raw), *shape)
    offset, origin = values[..., :2], points
    with np.errstate(over="ignore", invalid="ignore"):  # a broken network may give anything
        if doubled:
            offset, origin = offset * np.float32(2), points - np.float32(0.5)
        xy = (offset + origin[:, None]) * stride[:, None]
    return np.concatenate([xy, sigmoid(values[..., 2:])], axis=2)


@dataclass(frozen=True)
class PosePostprocess(Postprocess):
    """Turns the raw outputs of one image into its poses.

    Attributes:
        kpt_shape: How many keypoints, and numbers of each: 2 for x and y, 3 with visibility.
        doubled: See `decode_keypoints`.
    """

    kpt_shape: tuple[int, int] = (17, 3)
    doubled: bool = True

    @classmethod
    def for_model(cls, meta: ModelMeta, options: PredictOptions) -> Self:
        """As for detection."""
        args = meta.network.head.args
        shape = args["keypoints"], args["dimensions"]
        return replace(super().for_model(meta, options), kpt_shape=shape, doubled=bool(args["doubled"]))

    def __call__(self, outputs: Outputs, placement: Placement) -> Poses:
        """Decodes one image.

        Args:
            outputs: ``head``, ``keypoints`` and ``cells`` (see `yolo_max.tasks.contract.Outputs`).
            placement: How the image was placed on the canvas.

        Returns:
            The poses in image pixels, most confident first.

        Raises:
            ValueError: An output has the wrong shape or dtype.
            EngineError: The network gave class logits that are NaN, or boxes or keypoints that are not
                finite.
        """
        kept = self.kept(outputs, placement)
        raw = outputs["keypoints"]
        shape = len(outputs["head"]), self.kpt_shape[0] * self.kpt_shape[1]
        if raw.dtype != np.float32 or raw.shape != shape:
            raise ValueError(f"The keypoints must be float32 {shape}, not {raw.dtype} {raw.shape}.")
        points, stride = anchor_points(placement.canvas_size, self.strides)
        cell = outputs["cells"][kept.row] if "cells" in outputs else kept.row
        keypoints = decode_keypoints(
            raw[kept.row], points[cell], stride[cell], self.kpt_shape, doubled=self.doubled
        )
        require_finite("keypoints", keypoints)
        in_image = _to_image(keypoints, placement)
        require_finite("keypoints", in_image)
        return Poses(
            boxes_in_image(kept.boxes, placement),
            kept.confidence,
            kept.class_id,
            self.names,
            placement.image_size,
            in_image,
        )


def _to_image(keypoints: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Keypoints from canvas pixels to image pixels, clipped to the image, as ``scale_coords`` does it."""
    xy = keypoints[..., :2]
    corners = np.concatenate([xy, xy], axis=2).reshape(-1, 4)  # a point is a box without size
    with np.errstate(over="ignore"):
        moved = placement.to_image(corners)[:, :2].reshape(xy.shape)
    return np.concatenate([moved, keypoints[..., 2:]], axis=2)
