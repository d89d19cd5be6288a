"""Class logits to probabilities, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import EngineError
from yolo_max.tasks.classify.classification import Classification
from yolo_max.tasks.contract import Outputs, Placement


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities, computed in float64 and rounded once, for the same float32 on every machine.

    Args:
        logits: float32 [nc], finite.
    """
    exact = logits.astype(np.float64)
    weights = np.exp(exact - exact.max())
    probabilities: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return probabilities


@dataclass(frozen=True)
class ClassifyDecoder:
    """Turns the logits of one image into its classification.

    Attributes:
        names: The model's class names by id, 0 to nc - 1.
    """

    names: Mapping[int, str]
    min_logit = -math.inf
    limit = None

    def __call__(self, outputs: Outputs, placement: Placement) -> Classification:
        """Decodes one image.

        Args:
            outputs: ``logits``, float32 [nc].
            placement: How the image was placed on the canvas.

        Raises:
            ValueError: The logits have the wrong shape or dtype.
            EngineError: The logits are not finite.
        """
        logits = outputs["logits"]
        if logits.dtype != np.float32 or logits.shape != (len(self.names),):
            raise ValueError(
                f"The logits must be float32 ({len(self.names)},), not {logits.dtype} {logits.shape}."
            )
        if not np.isfinite(logits).all():
            raise EngineError(
                "the network gave class logits that are not finite; its weights or engine are broken."
            )
        return Classification(softmax(logits), self.names, placement.image_size)

    def settings(self) -> dict[str, Any]:
        """Empty: classification has no options."""
        return {}
