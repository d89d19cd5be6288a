"""What to know of Ultralytics' side of a task, without importing any of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from yolo_max.tasks.contract import Prediction


class RawOutput(NamedTuple):
    """How PyTorch lays out a raw output.

    Attributes:
        axes: The transpose from PyTorch's axes to those of `yolo_max.tasks.contract.Outputs`, the batch
            being axis 0 of both.
        free: Names of PyTorch's axes that vary with the size of the input.
    """

    axes: tuple[int, ...]
    free: Mapping[int, str] = {}


@dataclass(frozen=True)
class Reference:
    """Ultralytics' module and predictor for one task.

    Attributes:
        outputs: Each raw output, by name.
        of_module: From what the whole module returns in eval mode, the raw outputs as PyTorch's tensors.
        of_head: The same from the module's last layer and its inputs, without decoding anything.
        predictor: Its predictor, as "module:class".
        prediction: The prediction, from that predictor's ``Results`` for an image, and the class names.
        prepare: Changes the module so that it returns all its raw outputs, if they are not what it returns.
    """

    outputs: Mapping[str, RawOutput]
    of_module: Callable[[Any], Mapping[str, Any]]
    of_head: Callable[[Any, Any], Mapping[str, Any]]
    predictor: str
    prediction: Callable[[Any, Mapping[int, str]], Prediction]
    prepare: Callable[[Any], None] = lambda _: None
