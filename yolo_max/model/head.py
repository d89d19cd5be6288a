"""The heads, up to their logits.

Detect: at each stride, one branch for the box sides and one for the classes. The classes come first, since
only the few cells above the confidence threshold need boxes. Classify: the mean of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model.backend import Backend, Candidates, Conv2d, Head, Level, Prediction
from yolo_max.model.blocks import MaxConv
from yolo_max.model.max_nn import LayerList, Module, Sequential


class MaxBranch(LayerList):
    """Two 3x3 convolutions and a plain 1x1: the checkpoint's ``cv2.<level>.{0,1,2}``, or ``cv3.``."""

    def __init__(self, backend: Backend, c1: int, hidden: int, c2: int) -> None:
        super().__init__(
            [MaxConv(backend, c1, hidden, 3), MaxConv(backend, hidden, hidden, 3), plain(backend, hidden, c2)]
        )

    def __call__(self, x: FeatureMap, only: Candidates | None = None) -> Prediction:
        """Computes the features; the last convolution is left to the head, which joins all branches."""
        first, second, last = self.layers
        return Prediction(second(first(x, only=only and only.before()), only=only), last)


class MaxDepthwiseBranch(LayerList):
    """The same with a depthwise convolution and a 1x1 in place of each 3x3: the class branch since YOLO11."""

    def __init__(self, backend: Backend, c1: int, hidden: int, c2: int) -> None:
        pairs = [
            Sequential([MaxConv(backend, c, c, 3, depthwise=True), MaxConv(backend, c, hidden)])
            for c in (c1, hidden)
        ]
        super().__init__([*pairs, plain(backend, hidden, c2)])

    def __call__(self, x: FeatureMap) -> Prediction:
        """Computes the features, as in `MaxBranch`."""
        first, second, last = self.layers
        return Prediction(second(first(x)), last)


def plain(backend: Backend, c1: int, c2: int) -> Conv2d:
    """A 1x1 convolution without activation, which gives logits."""
    return backend.conv2d(c1, c2, 1, 1, 0, depthwise=False, activation=Activation.NONE)


class MaxDetect(Module):
    """The detect head, up to its logits; DFL, boxes and NMS are NumPy's (``tasks/detect``).

    An end-to-end head has a second pair of branches. Only one pair is computed: without ``nms`` the second.
    """

    def __init__(
        self,
        backend: Backend,
        channels: Sequence[int],
        nc: int,
        reg_max: int,
        box_hidden: int,
        class_hidden: int,
        *,
        depthwise: bool = False,
        end2end: bool = False,
        nms: bool = True,
    ) -> None:
        super().__init__()
        self.backend = backend
        self.nms = nms

        def boxes() -> LayerList:
            return LayerList([MaxBranch(backend, c, box_hidden, 4 * reg_max) for c in channels])

        def classes() -> LayerList:
            branch = MaxDepthwiseBranch if depthwise else MaxBranch
            return LayerList([branch(backend, c, class_hidden, nc) for c in channels])

        self.cv2, self.cv3 = boxes(), classes()
        if end2end:
            self.one2one_cv2, self.one2one_cv3 = boxes(), classes()

    def __call__(self, *maps: FeatureMap) -> Head:
        """Maps of strides 8, 16 and 32 ``->`` logits, one row per cell, and the candidates."""
        branches = (self.cv2, self.cv3) if self.nms else (self.one2one_cv2, self.one2one_cv3)
        levels = []
        for box, classes, x in zip(*branches, maps, strict=True):
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
        self.linear = plain(backend, hidden, nc)

    def __call__(self, x: FeatureMap) -> Head:
        """A map ``[B, H, W, c1] ->`` logits ``[B, nc]``."""
        y = self.backend.tensor(self.linear(self.backend.mean(self.conv(x))))
        return Head({"logits": y[:, 0, 0, :]})
