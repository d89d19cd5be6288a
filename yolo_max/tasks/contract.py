"""The interface between a network's outputs and what is done with them: outputs, decoder, prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.marks import Marks

Outputs = Mapping[str, NDArray[Any]]
"""The raw outputs of one image, by name.

Detection: ``head``, float32 ``[N, 4 * reg_max + nc]``: DFL logits of the four sides, then class logits, one
row per cell of ``cells``, intp ``[N]`` ascending. Without ``cells`` there is a row for every cell, level by
level, each level row-major.
Rotated detection: the same, and ``angle``, float32 ``[N, 1]``, as the head's branch gives it, per cell.
Segmentation: also ``coefficients``, float32 ``[N, nm]``, the weight of each prototype for that row's mask,
and ``prototypes``, float32 ``[2 * H / s, 2 * W / s, nm]``, where s is the stride of the head's first level.
Pose: also ``keypoints``, float32 ``[N, K * D]`` for the same cells: of each keypoint its offset in cells, and
if D is 3 the logit of its visibility.
Classification: ``logits``, float32 ``[nc]``.
"""


class Placement(Protocol):
    """How an image was placed on the network's input canvas."""

    @property
    def canvas_size(self) -> tuple[int, int]:
        """(height, width) of the canvas in pixels."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image as displayed, in pixels."""
        ...

    @property
    def window(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the whole image on the canvas, in canvas pixels.

        A crop makes it larger than the canvas.
        """
        ...

    def to_image(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes, float32 ``[N, 4]``, from canvas pixels to image pixels, clipped to the image."""
        ...


@runtime_checkable
class Prediction(Protocol):
    """The result for one image; frozen."""

    @property
    def names(self) -> Mapping[int, str]:
        """The model's class names by id."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image as displayed, in pixels."""
        ...

    @property
    def confidence(self) -> NDArray[np.float32]:
        """float32 [N] in [0, 1], of each thing that it lists; descending."""
        ...

    def __len__(self) -> int:
        """How many things it lists."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """What it lists, most confident first."""
        ...

    def counts(self) -> dict[str, int]:
        """The number of objects per class name, most frequent first."""
        ...

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """What was found with Ultralytics' names; see `yolo_max.tasks.exports.Exports`, which has more."""
        ...

    def to_coco(
        self, image_id: int | str = 0, categories: Mapping[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """What was found in COCO's form of results."""
        ...

    def to_supervision(self) -> Any:
        """What was found as Roboflow's supervision has it."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The prediction as plain JSON types."""
        ...

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], names: Mapping[int, str] | None = None) -> Self:
        """Restores what `to_dict` wrote, bit for bit.

        Args:
            record: A mapping with at least the keys that `to_dict` gives.
            names: The model's class names by id; by default those in the record.

        Raises:
            ValueError: The record is of another kind of prediction.
        """
        ...

    def marks(self) -> Marks:
        """The annotations to draw on the image."""
        ...

    def labels(self, *, confidence: bool = False) -> str:
        """The prediction in Ultralytics' text format (``save_txt``).

        Args:
            confidence: Whether to add it to each line (``save_conf``), where the format leaves the choice.
        """
        ...


class Decoder(Protocol):
    """Turns the raw outputs of one image into its prediction."""

    @property
    def min_logit(self) -> float:
        """A cell of a detection head matters only if one of its class logits exceeds this."""
        ...

    @property
    def limit(self) -> int | None:
        """How many things it finds in an image at most (``max_det``); None where nothing is left out."""
        ...

    def __call__(self, outputs: Outputs, placement: Placement) -> Prediction:
        """Decodes one image.

        Raises:
            EngineError: The network's outputs are not finite.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """The options that affect predictions, in plain JSON types."""
        ...
