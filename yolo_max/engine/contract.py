"""The contract of all engines: pixels in, named raw outputs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import EngineError, UsageError
from yolo_max.support.text import shorten
from yolo_max.tasks.contract import Outputs

Network = Callable[[NDArray[np.uint8]], NDArray[Any] | Mapping[str, NDArray[Any]]]
"""uint8 ``[B, H, W, 3]`` RGB ``->`` one raw output ``[B, ...]``, or several by name."""


@runtime_checkable
class Engine(Protocol):
    """Anything that runs the network: `MaxEngine`, `TorchEngine`, or your own.

    Attributes:
        callers: How many threads should call it at once for the highest throughput.
    """

    callers: int

    @property
    def info(self) -> Mapping[str, str | int]:
        """Facts that results or times depend on, such as device, precision, kernels and threads."""
        ...

    def run(
        self, batch: NDArray[np.uint8], min_logit: float = -math.inf, *, shared: bool = False
    ) -> list[Outputs]:
        """Runs the network.

        Args:
            batch: uint8 ``[B, H, W, 3]`` RGB, as the task's transform makes it.
            min_logit: For a detection head, cells with a class logit above this (as float32), or with one
                that is NaN, must be returned; others may be left out.
            shared: Whether other threads call the engine at the same time.

        Returns:
            The raw outputs of each image, by name.
        """
        ...


def as_engine(network: Engine | Network, outputs: Sequence[str]) -> Engine:
    """Wraps a plain callable as an engine; an engine is returned unchanged.

    Args:
        network: An engine, or a function from pixels to whole raw outputs.
        outputs: The names of the network's raw outputs; a plain array is the first.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(network, Engine):
        return network
    if not callable(network):
        raise UsageError(f"the engine is {shorten(network)}, but it must be a name, an Engine or a function.")
    return _Wrapped(network, outputs)


class _Wrapped:
    """A plain callable as an engine, for one caller."""

    callers = 1
    info: Mapping[str, str | int] = {}

    def __init__(self, network: Network, outputs: Sequence[str]) -> None:
        self._network = network
        self._outputs = outputs

    def run(
        self,
        batch: NDArray[np.uint8],
        min_logit: float = -math.inf,  # noqa: ARG002
        *,
        shared: bool = False,  # noqa: ARG002
    ) -> list[Outputs]:
        given = self._network(batch)
        whole = given if isinstance(given, Mapping) else {self._outputs[0]: given}
        if missing := set(self._outputs) - whole.keys():
            raise EngineError(
                f"the engine does not return {', '.join(sorted(missing))}; return all outputs by name."
            )
        return by_image(whole)


def by_image(whole: Mapping[str, NDArray[Any]]) -> list[Outputs]:
    """The raw outputs of each image of a batch, from arrays ``[B, ...]``."""
    batch = len(next(iter(whole.values())))
    return [{name: values[i] for name, values in whole.items()} for i in range(batch)]


def require_pixels(batch: NDArray[np.uint8], stride: int) -> None:
    """Rejects anything that is not a batch of images that fits the network.

    Args:
        batch: The engine's input.
        stride: The network's; height and width must be multiples of it.

    Raises:
        UsageError: It is not uint8 ``[B, H, W, 3]``, is empty, or does not fit the network.
    """
    if not isinstance(batch, np.ndarray):
        raise UsageError(f"the engine takes uint8 images [B, H, W, 3], not {shorten(batch)}.")
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3 or 0 in batch.shape:
        raise UsageError(
            f"the engine takes uint8 images [B, H, W, 3], not {batch.dtype} {list(batch.shape)}; "
            "letterbox them first."
        )
    height, width = batch.shape[1:3]
    if height % stride or width % stride:
        raise UsageError(
            f"images of {height} x {width} pixels do not fit the network; height and width must be "
            f"multiples of {stride}."
        )
