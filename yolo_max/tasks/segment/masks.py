"""Masks from prototypes.

    prototypes · coefficients ──► logits ──enlarge──► [cut the padding off ──enlarge──►] > 0, within the box

The logits are enlarged as PyTorch's bilinear ``interpolate`` does, in the same operations, but only within
each object's box and in strips, so the memory needed does not grow with the image or the number of objects.
Each mask is kept as COCO's run lengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import EngineError
from yolo_max.tasks import rle
from yolo_max.tasks.rle import Size

STRIDE = 4
"""Canvas pixels per pixel of a prototype, at a first level of stride 8; Ultralytics supposes no other."""
STRIP = 2**20
"""How many pixels of a mask are computed at once."""


class Content(NamedTuple):
    """Where an image lies in a letterboxed canvas, in pixels of the canvas."""

    left: int
    top: int
    width: int
    height: int


def content_of(canvas_size: Size, image_size: Size) -> Content:
    """Where Ultralytics' ``scale_coords`` and ``scale_masks`` suppose an image in a canvas.

    Args:
        canvas_size: (height, width) in pixels, of the canvas or of a copy of another resolution.
        image_size: (height, width) of the image.
    """
    gain = min(canvas / side for canvas, side in zip(canvas_size, image_size, strict=True))
    height, width = (max(round(side * gain), 1) for side in image_size)
    top, left = (round((canvas_size[i] - side) / 2 - 0.1) for i, side in enumerate((height, width)))
    return Content(left, top, width, height)


class Axis(NamedTuple):
    """Between which pixels of its source each pixel of one axis lies.

    Attributes:
        low: intp [n], the pixel before it.
        high: intp [n], the pixel after it, or the last.
        weight: float32 [n] in [0, 1], of the latter.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    weight: NDArray[np.float32]

    @classmethod
    def between(cls, source: int, target: int, start: int, stop: int) -> Axis:
        """For the pixels from ``start`` to ``stop`` of ``target`` that ``source`` is stretched to."""
        scale = np.float32(source) / np.float32(target)
        places = np.arange(start, stop, dtype=np.float32)
        at = np.clip(scale * (places + np.float32(0.5)) - np.float32(0.5), 0, source - 1, dtype=np.float32)
        low = at.astype(np.intp)
        return cls(low, np.minimum(low + 1, source - 1), at - low.astype(np.float32))

    @property
    def reach(self) -> tuple[int, int]:
        """The first of the pixels that are needed of the source, and the one after the last."""
        return int(self.low[0]), int(self.high[-1]) + 1

    def near(self, start: int, stop: int) -> slice:
        """The pixels that lie between, or beside, those from ``start`` to ``stop`` of the source."""
        return slice(int(np.searchsorted(self.high, start)), int(np.searchsorted(self.low, stop)))

    def behind(self, start: int) -> Axis:
        """The same, of a source whose first ``start`` pixels are cut off."""
        return Axis(self.low - start, self.high - start, self.weight)

    def part(self, start: int, stop: int) -> Axis:
        """For some of the pixels."""
        return Axis(self.low[start:stop], self.high[start:stop], self.weight[start:stop])


def interpolate(values: NDArray[np.float32], rows: Axis, columns: Axis) -> NDArray[np.float32]:
    """Bilinear interpolation of float32 [h, w] at given rows and columns."""
    one, x, y = np.float32(1), columns.weight, rows.weight[:, None]
    across = values[:, columns.low] * (one - x) + values[:, columns.high] * x
    result: NDArray[np.float32] = across[rows.low] * (one - y) + across[rows.high] * y
    return result


@dataclass(frozen=True)
class MaskGrid:
    """The pixels of masks, and how they are computed from those of the prototypes.

    Attributes:
        size: (height, width) of the masks.
        prototype_size: (height, width) of the prototypes.
        factor: How much the logits are enlarged first.
        content: The part of them that is then stretched to ``size``.
    """

    size: Size
    prototype_size: Size
    factor: int
    content: Content

    @classmethod
    def of_canvas(cls, prototype_size: Size, size: Size) -> MaskGrid:
        """Masks of the whole canvas, as Ultralytics' ``process_mask``: of its size, or the prototypes'."""
        height, width = prototype_size
        return cls(size, prototype_size, 1, Content(0, 0, width, height))

    @classmethod
    def of_image(cls, prototype_size: Size, image_size: Size) -> MaskGrid:
        """Masks of the image at its own size, as Ultralytics' ``process_mask_native``."""
        canvas = STRIDE * prototype_size[0], STRIDE * prototype_size[1]
        inside = content_of(canvas, image_size)
        # The least factor at which the padding is a whole number of pixels on either side.
        padding = (canvas[0] - inside.height) | (canvas[1] - inside.width)
        factor = STRIDE // gcd(STRIDE, padding | padding // 2)
        enlarged = factor * prototype_size[0], factor * prototype_size[1]
        return cls(image_size, prototype_size, factor, content_of(enlarged, image_size))

    def masks(
        self,
        prototypes: NDArray[np.float32],
        coefficients: NDArray[np.float32],
        boxes: NDArray[np.float32],
        min_logit: float = 0.0,
    ) -> NDArray[np.object_]:
        """Computes the masks of some objects.

        Args:
            prototypes: float32 [h, w, nm].
            coefficients: float32 [N, nm], the weight of each prototype.
            boxes: float32 [N, 4] left, top, right, bottom in pixels of the masks, which end there.
            min_logit: The logit of a mask's pixels is higher.

        Returns:
            object [N], COCO's compressed counts of each.

        Raises:
            EngineError: The logits are not finite.
        """
        height, width = self.size
        # A pixel belongs to a box that its upper left corner lies in.
        edges = np.clip(np.ceil(boxes), 0, np.array([width, height] * 2)).astype(np.intp)
        masks = np.empty(len(boxes), object)
        for i, (left, top, right, bottom) in enumerate(edges.tolist()):
            strips = (
                logits > min_logit
                for logits in self._strips(prototypes, coefficients[i], left, top, right, bottom)
            )
            masks[i] = rle.encode(rle.boundaries_of(strips, top, left, self.size), self.size)
        return masks

    def _strips(
        self,
        prototypes: NDArray[np.float32],
        coefficients: NDArray[np.float32],
        left: int,
        top: int,
        right: int,
        bottom: int,
    ) -> Iterator[NDArray[np.float32]]:
        """The logits of one object within its box, in upright strips."""
        if left >= right or top >= bottom:
            return
        rows = Axis.between(self.content.height, self.size[0], top, bottom)
        columns = Axis.between(self.content.width, self.size[1], left, right)
        (y1, y2), (x1, x2) = rows.reach, columns.reach
        logits = self._enlarged(
            prototypes,
            coefficients,
            (self.content.top + y1, self.content.top + y2),
            (self.content.left + x1, self.content.left + x2),
        )
        rows, columns = rows.behind(y1), columns.behind(x1)
        width = max(1, STRIP // (bottom - top))
        for start in range(0, right - left, width):
            yield interpolate(logits, rows, columns.part(start, start + width))

    def _enlarged(
        self,
        prototypes: NDArray[np.float32],
        coefficients: NDArray[np.float32],
        row_range: tuple[int, int],
        column_range: tuple[int, int],
    ) -> NDArray[np.float32]:
        """The logits of one object before they are cropped and stretched."""
        height, width = self.prototype_size
        rows = Axis.between(height, self.factor * height, *row_range)
        columns = Axis.between(width, self.factor * width, *column_range)
        (y1, y2), (x1, x2) = rows.reach, columns.reach
        with np.errstate(invalid="ignore", over="ignore"):  # a broken network is told of below
            logits: NDArray[np.float32] = prototypes[y1:y2, x1:x2] @ coefficients
        if not np.isfinite(logits).all():
            raise EngineError("the network gave masks that are not finite; its weights or engine are broken.")
        return interpolate(logits, rows.behind(y1), columns.behind(x1))
