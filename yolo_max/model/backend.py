"""The interface between the blocks and the two ways to compute them.

The blocks are written once, against :class:`Backend`. ``fused.py`` implements it with this project's own Mojo
kernels, ``stock.py`` with MAX's own operations: the oracle, and the fallback for devices without kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from max.graph import TensorType, TensorValue

from yolo_max.kernels.activation import Activation
from yolo_max.kernels.feature_map import FeatureMap


class Candidates(NamedTuple):
    """The cells of a level that can be detections: those with a high enough class logit.

    An operation that is given candidates may skip whatever only other cells need.
    """

    mask: FeatureMap
    """``[B, H, W, 1]``, 0 for cells that are not candidates."""
    halo: int = 0
    """Number of 3x3 convolutions between here and the cells. Each needs one more pixel around its outputs,
    and gets a ring of 4 x 4 tiles."""

    def before(self) -> Candidates:
        """The candidates for the preceding 3x3 convolution."""
        return self._replace(halo=self.halo + 1)


class Conv2d(Protocol):
    """A convolution that owns ``weight`` and ``bias``, with everything that can be fused into it.

    It is a ``max.nn.Module``, so that its path in the tree gives its weights the checkpoint's names.
    """

    def __call__(
        self, x: FeatureMap, residual: FeatureMap | None = None, only: Candidates | None = None
    ) -> FeatureMap:
        """Convolves, adds the bias, applies the activation, then adds ``residual``.

        Outputs that ``only`` excludes may be anything.
        """
        ...


class Prediction(NamedTuple):
    """The last step of one branch of the head: a plain 1x1 convolution and the map it reads."""

    features: FeatureMap
    conv: Conv2d


class Level(NamedTuple):
    """What a head predicts at one stride, and the cells that need it."""

    predictions: Sequence[Prediction]
    candidates: Candidates | None


class Head(NamedTuple):
    """The network's outputs."""

    outputs: dict[str, TensorValue]
    """float32, by the names of the head's spec."""
    candidates: tuple[TensorValue, ...] = ()
    """Of a head with boxes, ``[B, H, W, 1]`` for each level: 0 for cells that are not candidates and whose
    rows may be anything. Empty if every cell has its row."""


class Backend(Protocol):
    """The operations that blocks are built from.

    Attributes:
        extensions: Mojo packages, or folders of their sources, that the graph needs.
        inputs: Inputs of the graph after the pixels.
        activation: That of the network, for convolutions that do not have their own.
    """

    extensions: tuple[Path, ...]
    inputs: tuple[TensorType, ...]
    activation: Activation

    def image(self, pixels: TensorValue) -> FeatureMap:
        """Pixels, uint8 ``[B, H, W, 3]`` RGB, as a map for convolutions: of values from 0 to 1, or bytes."""
        ...

    def values(self, x: FeatureMap) -> FeatureMap:
        """The map for other operations: an image that is bytes as values from 0 to 1."""
        ...

    def normalise(self, x: FeatureMap, mean: Sequence[float], std: Sequence[float]) -> FeatureMap:
        """An image as ``(x - mean) / std``, by channel."""
        ...

    def conv2d(
        self, c1: int, c2: int, k: int, s: int, p: int, *, depthwise: bool, activation: Activation
    ) -> Conv2d:
        """A ``k`` x ``k`` convolution of stride ``s`` and padding ``p``; depthwise: of each channel alone."""
        ...

    def conv_transpose2d(self, c1: int, c2: int, s: int) -> Conv2d:
        """A transposed convolution of size and stride ``s``, with a bias: it enlarges the map ``s`` times."""
        ...

    def add(self, x: FeatureMap, y: FeatureMap) -> FeatureMap:
        """The sum of two maps of one size."""
        ...

    def max_pool(self, x: FeatureMap, k: int, s: int = 1, p: int | None = None) -> FeatureMap:
        """Max-pools ``k`` x ``k`` windows with stride ``s``.

        The padding is minus infinity, ``k // 2`` by default.
        """
        ...

    def zero_pad(self, x: FeatureMap, left: int, right: int, top: int, bottom: int) -> FeatureMap:
        """Adds zeros around the map: columns to the left and right, rows on top and at the bottom."""
        ...

    def average_pool(self, x: FeatureMap, k: int) -> FeatureMap:
        """Averages ``k`` x ``k`` windows with stride 1, without padding: ``k - 1`` rows and columns fewer."""
        ...

    def mean(self, x: FeatureMap) -> FeatureMap:
        """Averages each channel over the map, in float32: ``[B, H, W, c] -> [B, 1, 1, c]``."""
        ...

    def attention(self, qkv: FeatureMap, heads: int, keys: int, values: int, areas: int = 1) -> FeatureMap:
        """Attends from every pixel to all of its area: ``softmax(q k' / sqrt(keys)) v`` for each head.

        Args:
            qkv: ``[B, H, W, heads * (2 * keys + values)]``: head after head, each with its queries and keys
                of ``keys`` channels and its values of ``values``.
            heads: Number of heads.
            keys: Channels of a query, and of a key.
            values: Channels of a value.
            areas: Equal parts of the pixels, row-major, that do not see each other.

        Returns:
            ``[B, H, W, heads * values]``.
        """
        ...

    def candidates(self, classes: Prediction) -> Candidates | None:
        """The candidates of a level by their class logits; None to treat every cell as one."""
        ...

    def predict(self, levels: Sequence[Level]) -> TensorValue:
        """Predicts at every level and joins the results.

        Returns:
            float32 ``[B, A, c]``: the channels of a level's predictions, one after the other, for each of A
            cells, level after level, each row-major.
        """
        ...

    def tensor(self, x: FeatureMap) -> TensorValue:
        """The map as one float32 NHWC tensor, for output."""
        ...
