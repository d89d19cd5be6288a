"""Result: what became of one image of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from yolo_max.detections import Detections
from yolo_max.errors import ImageError
from yolo_max.images.read import ImageSource


@dataclass
class Result:
    """What became of one image of a stream.

    Attributes:
        source: The image as it was given.
        detections: What was found; None when the image could not be read.
        error: Why the image could not be read; None when it was.
        image: uint8 [H, W, 3] BGR, the image as displayed, when the stream was asked to keep it.
        times_ms: Milliseconds spent on this image by stage: decode, letterbox, infer (the batch's time over
            its images), postprocess.
    """

    source: ImageSource
    detections: Detections | None = None
    error: ImageError | None = None
    image: NDArray[np.uint8] | None = field(default=None, repr=False)
    times_ms: dict[str, float] = field(default_factory=dict)


@contextmanager
def timed(result: Result, stage: str) -> Iterator[None]:
    """Notes the milliseconds that a ``with`` block takes as the result's time for a stage."""
    start = perf_counter()
    yield
    result.times_ms[stage] = (perf_counter() - start) * 1000
