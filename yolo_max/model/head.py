"""The heads, up to their logits.

Detect: at each stride, one branch for the box sides and one for the classes. The classes come first, since
only the few cells above the confidence threshold need boxes. Segment, Pose and OBB have a third branch, for
what they say of each box. Classify: the mean of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from max.graph import Dim

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model.backend import Backend, Candidates, Conv2d, Head, Level, Prediction
from yolo_max.model.blocks import MaxConv
from yolo_max.model.max_nn import LayerList, Module, Sequential
from yolo_max.model.prototypes import MaxProto, MaxProto26


class MaxFeatures(LayerList):
    """Two 3x3 convolutions."""

    def __init__(self, backend: Backend, c1: int, hidden: int) -> None:
        super().__init__([MaxConv(backend, c1, hidden, 3), MaxConv(backend, hidden, hidden, 3)])

    def __call__(self, x: FeatureMap, only: Candidates | None = None) -> FeatureMap:
        """``[B, H, W, c1] -> [B, H, W, hidden]``."""
        first, second = self.layers
        y: FeatureMap = second(first(x, only=only and only.before()), only=only)
        return y


class MaxBranch(LayerList):
    """Two 3x3 convolutions and a plain 1x1: the checkpoint's ``cv2.<level>.{0,1,2}``, or ``cv3.``."""

    def __init__(self, backend: Backend, c1: int, hidden: int, c2: int | Dim) -> None:
        super().__init__(
            [MaxConv(backend, c1, hidden, 3), MaxConv(backend, hidden, hidden, 3), plain(backend, hidden, c2)]
        )

    def __call__(self, x: FeatureMap, only: Candidates | None = None) -> Prediction:
        """Computes the features; the last convolution is left to the head, which joins all branches."""
        first, second, last = self.layers
        return Prediction(second(first(x, only=only and only.before()), only=only), last)


class MaxDepthwiseBranch(LayerList):
    """The same with a depthwise convolution and a 1x1 in place of each 3x3: the class branch since YOLO11."""

    def __init__(self, backend: Backend, c1: int, hidden: int, c2: int | Dim) -> None:
        pairs = [
            Sequential([MaxConv(backend, c, c, 3, depthwise=True), MaxConv(backend, c, hidden)])
            for c in (c1, hidden)
        ]
        super().__init__([*pairs, plain(backend, hidden, c2)])

    def __call__(self, x: FeatureMap) -> Prediction:
        """Computes the features, as in `MaxBranch`."""
        first, second, last = self.layers
        return Prediction(second(first(x)), last)


def plain(backend: Backend, c1: int, c2: int | Dim) -> Conv2d:
    """A 1x1 convolution without activation, which gives logits."""
    return backend.conv2d(c1, c2, 1, 1, 0, depthwise=False, activation=Activation.NONE)


class MaxDetect(Module):
    """The detect head, up to its logits; DFL, boxes and NMS are NumPy's (``tasks/detect``).

    An end-to-end head has all branches twice, or only the second set of them if it was fused. Only one set is
    computed: without ``nms`` the second.
    """

    def __init__(
        self,
        backend: Backend,
        channels: Sequence[int],
        nc: int | Dim,
        reg_max: int,
        box_hidden: int,
        class_hidden: int,
        *,
        depthwise: bool = False,
        end2end: bool = False,
        one2many: bool = True,
        nms: bool = True,
    ) -> None:
        super().__init__()
        self.backend = backend
        self.channels = channels
        self.end2end, self.one2many, self.nms = end2end, one2many, nms
        classes = MaxDepthwiseBranch if depthwise else MaxBranch
        self.add("cv2", lambda c: MaxBranch(backend, c, box_hidden, 4 * reg_max))
        self.add("cv3", lambda c: classes(backend, c, class_hidden, nc))

    def add(self, name: str, make: Callable[[int], Module]) -> None:
        """Adds a branch for each level; two, if it is end-to-end and has both."""
        pairs = {name: self.one2many, f"one2one_{name}": self.end2end}
        for each in (each for each, present in pairs.items() if present):
            setattr(self, each, LayerList([make(c) for c in self.channels]))

    def branch(self, name: str) -> LayerList:
        """The branches of this name that are computed, one for each level."""
        branches: LayerList = getattr(self, name if self.nms else f"one2one_{name}")
        return branches

    def more(self, level: int, x: FeatureMap, only: Candidates | None) -> dict[str, Prediction]:  # noqa: ARG002
        """What a level predicts besides boxes and classes, by the names of the outputs."""
        return {}

    def __call__(self, *maps: FeatureMap) -> Head:
        """Maps of strides 8, 16 and 32 ``->`` logits, one row per cell, and the candidates."""
        levels: dict[str, list[Level]] = {}
        masks = []
        for i, x in enumerate(maps):
            classes = self.branch("cv3")[i](x)
            only = self.backend.candidates(classes)
            box = self.branch("cv2")[i](x, only)
            levels.setdefault("head", []).append(Level([box, classes], only))
            for name, prediction in self.more(i, x, only).items():
                levels.setdefault(name, []).append(Level([prediction], only))
            masks += [only.mask.slices[0].tensor] if only else []
        outputs = {name: self.backend.predict(each) for name, each in levels.items()}
        return Head(outputs, tuple(masks))


class MaxPerBox(MaxDetect):
    """A detect head with one more branch, ``cv4``: of Segment, Pose, OBB and OBB26."""

    def __init__(
        self, backend: Backend, channels: Sequence[int], output: str, c2: int, hidden: int, **detect: Any
    ) -> None:
        super().__init__(backend, channels, **detect)
        self.output = output
        self.add("cv4", lambda c: MaxBranch(backend, c, hidden, c2))

    def more(self, level: int, x: FeatureMap, only: Candidates | None) -> dict[str, Prediction]:
        """Its output."""
        return {self.output: self.branch("cv4")[level](x, only)}


class MaxSegment(MaxPerBox):
    """Segment, and Segment26: mask coefficients for each box, and the prototypes that they weight."""

    def __init__(
        self,
        backend: Backend,
        channels: Sequence[int],
        masks: int,
        hidden: int,
        proto: MaxProto | MaxProto26,
        **detect: Any,
    ) -> None:
        super().__init__(backend, channels, "coefficients", masks, hidden, **detect)
        self.proto = proto

    def __call__(self, *maps: FeatureMap) -> Head:
        """The prototypes, ``[B, H, W, masks]``, have half the stride of the first map."""
        head = super().__call__(*maps)
        head.outputs["prototypes"] = self.backend.tensor(self.proto(*maps))
        return head


class MaxPose26(MaxDetect):
    """YOLO26's Pose: two 3x3 convolutions in ``cv4``, the last one apart."""

    def __init__(
        self, backend: Backend, channels: Sequence[int], c2: int, hidden: int, **detect: Any
    ) -> None:
        super().__init__(backend, channels, **detect)
        self.add("cv4", lambda c: MaxFeatures(backend, c, hidden))
        self.add("cv4_kpts", lambda _: plain(backend, hidden, c2))

    def more(self, level: int, x: FeatureMap, only: Candidates | None) -> dict[str, Prediction]:
        """The keypoints."""
        features = self.branch("cv4")[level](x, only)
        return {"keypoints": Prediction(features, self.branch("cv4_kpts")[level])}


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
