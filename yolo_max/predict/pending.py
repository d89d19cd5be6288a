"""Job: one image on its way from its source to its prediction.

source ──prepare──► canvas ──infer──► raw outputs ──decode──► prediction
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.read import ImageSource, read_image
from yolo_max.images.transforms import Fit, Transform
from yolo_max.predict.result import Result, timed
from yolo_max.support.errors import ImageError
from yolo_max.tasks.contract import Decoder, Outputs

Network = Callable[[NDArray[np.uint8]], Sequence[Outputs]]


@dataclass
class Job:
    """One image and what has become of it so far.

    Attributes:
        result: Is told what each step took, and what came out of it.
        canvas: uint8 [H, W, 3] RGB; None if the image cannot be read, or once it was inferred.
        transform: Where the image lies in the canvas.
        outputs: What the network gave for it, until that is decoded.
    """

    result: Result
    canvas: NDArray[np.uint8] | None = None
    transform: Transform | None = None
    outputs: Outputs | None = None

    @classmethod
    def prepare(
        cls,
        source: ImageSource,
        fit: Fit,
        *,
        max_pixels: int,
        keep_image: bool = False,
    ) -> Job:
        """Reads an image and makes its canvas; one that cannot be read is a result with an error.

        Args:
            source: The image.
            fit: How.
            max_pixels: Larger images are refused.
            keep_image: Whether the result carries the decoded image.
        """
        job = cls(Result(source))
        try:
            with timed(job.result, "decode"):
                image = read_image(source, max_pixels=max_pixels)
            with timed(job.result, "letterbox"):
                job.transform = fit((image.shape[0], image.shape[1]))
                job.canvas = job.transform.render(image)
        except ImageError as error:
            job.result.error = error
        else:
            job.result.image = image if keep_image else None
        return job

    def decode(self, decoder: Decoder) -> None:
        """Turns the raw outputs, if there are any, into a prediction."""
        if self.outputs is None or self.transform is None:
            return
        with timed(self.result, "postprocess"):
            self.result.prediction = decoder(self.outputs, self.transform)
        self.outputs = None


def infer(jobs: Sequence[Job], network: Network) -> None:
    """Runs the network once on all jobs that have a canvas; their canvases are of one shape.

    Args:
        jobs: Each gets its outputs, and lets its canvas go.
        network: Gives the raw outputs of each image of a batch.
    """
    jobs = [job for job in jobs if job.canvas is not None]
    if not jobs:
        return
    start = perf_counter()
    canvases = [job.canvas for job in jobs if job.canvas is not None]
    found = network(canvases[0][None] if len(canvases) == 1 else np.stack(canvases))
    each = (perf_counter() - start) * 1000 / len(jobs)
    for job, outputs in zip(jobs, found, strict=True):
        job.outputs, job.canvas = outputs, None
        job.result.times_ms["infer"] = each
