"""The two ways the port can be computed, behind one small interface.

The blocks are written once, against :class:`Backend`. ``fused.py`` computes them with this project's own Mojo
kernels, ``stock.py`` with the operations that come with MAX: the oracle, and the way for a device that the
kernels do not reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from max.graph import TensorType, TensorValue

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap


class Candidates(NamedTuple):
    """The cells of a level that can be detections, since one of their class logits is high enough.

    Whoever is given them may leave out what only other cells would need.
    """

    mask: FeatureMap
    """``[B, H, W, 1]``, 0 where a cell is none."""
    halo: int = 0
    """3x3 convolutions between here and the cells. Each reads a pixel around what it gives, and is allowed
    a ring of the tiles of 4 x 4 that the kernels compute, which is more."""

    def before(self) -> Candidates:
        """The same for the 3x3 convolution before the one that is given these."""
        return self._replace(halo=self.halo + 1)


class Conv2d(Protocol):
    """A convolution that owns ``weight`` and ``bias``, with what can be fused into it.

    It is a ``max.nn.Module``, so that its place in the tree gives its weights the checkpoint's own names.
    """

    def __call__(
        self, x: FeatureMap, residual: FeatureMap | None = None, only: Candidates | None = None
    ) -> FeatureMap:
        """Convolves, adds the bias, applies the activation, then adds ``residual``.

        What ``only`` leaves out may be anything in the result.
        """
        ...


class Prediction(NamedTuple):
    """The last step of one branch of the head: a plain 1x1 convolution and the map it reads."""

    features: FeatureMap
    conv: Conv2d


class Head(NamedTuple):
    """What the network gives."""

    outputs: dict[str, TensorValue]
    """float32, by the names that the head's spec gives them."""
    candidates: tuple[TensorValue, ...] = ()
    """Of a detect head, ``[B, H, W, 1]`` for each level: 0 where a cell is no candidate, whose logits may be
    anything. None where every cell has its logits."""


class Level(NamedTuple):
    """What is predicted at one stride, and where: DFL logits of the four box sides, and class logits."""

    box: Prediction
    classes: Prediction
    candidates: Candidates | None


class Backend(Protocol):
    """What a block needs to be computed.

    Attributes:
        extensions: Mojo packages, or folders of their sources, that the graph needs.
        inputs: What the graph is given behind the pixels.
    """

    extensions: tuple[Path, ...]
    inputs: tuple[TensorType, ...]

    def image(self, pixels: TensorValue) -> FeatureMap:
        """Turns pixels, uint8 ``[B, H, W, 3]`` RGB, into a map with values from 0 to 1."""
        ...

    def conv2d(self, c1: int, c2: int, k: int, s: int, *, activation: Activation) -> Conv2d:
        """A ``k`` x ``k`` convolution of stride ``s`` and padding ``k // 2``."""
        ...

    def max_pool(self, x: FeatureMap, k: int) -> FeatureMap:
        """Max-pools ``k`` x ``k`` windows with stride 1, padding ``k // 2`` of minus infinity."""
        ...

    def mean(self, x: FeatureMap) -> FeatureMap:
        """Averages each channel over the map, in float32: ``[B, H, W, c] -> [B, 1, 1, c]``."""
        ...

    def candidates(self, classes: Prediction) -> Candidates | None:
        """The cells of a level that its class logits make candidates; None where all are taken for one."""
        ...

    def raw_head(self, levels: Sequence[Level]) -> TensorValue:
        """Predicts at every level and joins the results.

        Returns:
            float32 ``[B, A, 4 * reg_max + nc]``: DFL logits, then class logits. A is the cells of the levels,
            level after level, each row-major.
        """
        ...

    def tensor(self, x: FeatureMap) -> TensorValue:
        """The map as one float32 NHWC tensor, to be given out."""
        ...
