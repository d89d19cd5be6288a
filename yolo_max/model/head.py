"""YOLOv8's heads, up to their logits.

Detect: at each stride, one branch for the box sides and one for the classes. The classes come first, since
only the few cells above the confidence threshold need boxes. Classify: the mean of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

from max.graph import ops

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model.backend import Backend, Candidates, Head, Level, Prediction
from yolo_max.model.blocks import MaxConv
from yolo_max.model.max_nn import LayerList, Module


class MaxBranch(LayerList):
    """Conv 3x3, Conv 3x3, plain 1x1 convolution: the checkpoint's ``cv2.<level>.{0,1,2}`` or ``cv3.``."""

    def __init__(self, backend: Backend, c1: int, hidden: int, c2: int) -> None:
        super().__init__(
            [
                MaxConv(backend, c1, hidden, 3),
                MaxConv(backend, hidden, hidden, 3),
                backend.conv2d(hidden, c2, 1, 1, activation=Activation.NONE),
            ]
        )

    def __call__(self, x: FeatureMap, only: Candidates | None = None) -> Prediction:
        """Computes the features; the last convolution is left to the head, which joins all branches."""
        first, second, last = self.layers
        return Prediction(second(first(x, only=only and only.before()), only=only), last)


class MaxDetect(Module):
    """The detect head, up to its logits; DFL, boxes and NMS are NumPy's (``tasks/detect``)."""

    def __init__(
        self,
        backend: Backend,
        channels: Sequence[int],
        nc: int,
        reg_max: int,
        box_hidden: int,
        class_hidden: int,
    ) -> None:
        super().__init__()
        self.backend = backend
        self.cv2 = LayerList([MaxBranch(backend, c, box_hidden, 4 * reg_max) for c in channels])
        self.cv3 = LayerList([MaxBranch(backend, c, class_hidden, nc) for c in channels])

    def __call__(self, *maps: FeatureMap) -> Head:
        """Maps of strides 8, 16 and 32 ``->`` logits, one row per cell, and the candidates."""
        levels = []
        for box, classes, x in zip(self.cv2, self.cv3, maps, strict=True):
            prediction = classes(x)
            candidates = self.backend.candidates(prediction)
            levels.append(Level(box(x, candidates), prediction, candidates))
        masks = [level.candidates.mask for level in levels if level.candidates]
        return Head({"head": self.backend.raw_head(levels)}, tuple(each.slices[0].tensor for each in masks))


class MaxClassify(Module):
    """The classify head, up to its logits; the softmax is NumPy's (``tasks/classify``)."""

    def __init__(self, backend: Backend, c1: int, nc: int, hidden: int) -> None:
        super().__init__()
        self.backend = backend
        self.conv = MaxConv(backend, c1, hidden)
        self.linear = backend.conv2d(hidden, nc, 1, 1, activation=Activation.NONE)

    def __call__(self, x: FeatureMap) -> Head:
        """A map ``[B, H, W, c1] ->`` logits ``[B, nc]``."""
        y = self.backend.tensor(self.linear(self.backend.mean(self.conv(x))))
        return Head({"logits": ops.reshape(y, [y.shape[0], y.shape[3]])})
