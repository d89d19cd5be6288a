"""Raw outputs to objects with masks, in NumPy: detection's steps, then masks from prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.options import PredictOptions
from yolo_max.tasks.contract import Outputs, Placement
from yolo_max.tasks.detect.decode import boxes_in_image
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.rle import Size, encode
from yolo_max.tasks.segment.masks import MaskGrid
from yolo_max.tasks.segment.segmentation import Segmentation
from yolo_max.weights.meta import ModelMeta


@dataclass(frozen=True)
class SegmentDecoder(Postprocess):
    """Turns the raw outputs of one image into its objects. Names and defaults are Ultralytics'.

    Attributes:
        retina_masks: Whether masks have the size of the image, and not of the canvas.
        coarse_masks: Whether there are also masks of the prototypes' size, and objects without a pixel are
            kept, as ``yolo val`` does.
    """

    retina_masks: bool = PredictOptions.retina_masks
    coarse_masks: bool = PredictOptions.coarse_masks

    @classmethod
    def for_model(cls, meta: ModelMeta, options: PredictOptions) -> Self:
        """The decoder for a model; as `Postprocess.for_model`."""
        return replace(
            super().for_model(meta, options),
            retina_masks=options.retina_masks,
            coarse_masks=options.coarse_masks,
        )

    def settings(self) -> dict[str, Any]:
        """The options that affect the objects, in plain JSON types."""
        return {**super().settings(), "retina_masks": self.retina_masks, "coarse_masks": self.coarse_masks}

    def __call__(self, outputs: Outputs, placement: Placement) -> Segmentation:
        """Decodes one image.

        Args:
            outputs: ``head``, ``coefficients``, ``prototypes`` and ``cells``; see
                `yolo_max.tasks.contract.Outputs`.
            placement: How the image was placed on the canvas.

        Returns:
            The objects in image pixels, most confident first. As in Ultralytics, one whose mask has no pixel
            is left out.

        Raises:
            ValueError: An output has the wrong shape or dtype for the canvas and the classes.
            EngineError: The network gave class logits that are NaN, or boxes or masks that are not finite.
        """
        kept = self.kept(outputs, placement)
        prototypes = outputs["prototypes"]
        coefficients = outputs["coefficients"]
        rows, channels = len(outputs["head"]), prototypes.shape[-1]
        for name, array, shape in (
            ("prototypes", prototypes, (*prototype_size(placement.canvas_size, self.strides), channels)),
            ("coefficients", coefficients, (rows, channels)),
        ):
            if array.dtype != np.float32 or array.shape != shape:
                raise ValueError(f"The {name} must be float32 {shape}, not {array.dtype} {array.shape}.")
        xyxy, weights = boxes_in_image(kept.boxes, placement), coefficients[kept.row]
        grid = self.grid(prototypes, placement)
        masks = grid.masks(prototypes, weights, xyxy if self.retina_masks else kept.boxes)
        coarse, coarse_size = np.full(len(masks), "", object), (0, 0)
        if self.coarse_masks:
            coarse_size = grid.prototype_size
            small = MaskGrid.of_canvas(coarse_size, coarse_size)
            ratio = np.float32(coarse_size[1] / placement.canvas_size[1])
            coarse = small.masks(prototypes, weights, kept.boxes * ratio)
        empty = encode(np.zeros(0, np.int64), grid.size)
        shown = np.full(len(masks), True) if self.coarse_masks else masks != empty
        return Segmentation(
            xyxy=xyxy[shown],
            confidence=kept.confidence[shown],
            class_id=kept.class_id[shown],
            names=self.names,
            image_size=placement.image_size,
            rle=masks[shown],
            mask_size=grid.size,
            coarse_rle=coarse[shown],
            coarse_size=coarse_size,
        )

    def grid(self, prototypes: NDArray[np.float32], placement: Placement) -> MaskGrid:
        """The pixels of the masks of an image."""
        size = prototypes.shape[0], prototypes.shape[1]
        if self.retina_masks:
            return MaskGrid.of_image(size, placement.image_size)
        return MaskGrid.of_canvas(size, placement.canvas_size)


def prototype_size(canvas_size: Size, strides: Sequence[int]) -> Size:
    """(height, width) of the prototypes: twice as fine as the head's first level."""
    height, width = canvas_size
    return 2 * height // strides[0], 2 * width // strides[0]
