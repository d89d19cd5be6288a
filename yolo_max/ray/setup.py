"""Setup: what a worker needs to make the predictor that the driver has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from yolo_max.support.errors import EngineError
from yolo_max.support.options import PredictOptions
from yolo_max.weights.load import Weights

if TYPE_CHECKING:
    from yolo_max.engine.contract import Network
    from yolo_max.predict.predictor import Predictor


@dataclass(frozen=True)
class Setup:
    """What goes to each worker, once.

    Attributes:
        weights: The weights.
        options: The options, with the threads of a worker.
        settings: The driver's `Predictor.settings`.
        graph: The compiled graph's key and content, so that no worker of this kind of machine compiles it;
            None where it is not in the cache.
        network: A network of the caller's own in place of the options' engine.
    """

    weights: Weights
    options: PredictOptions
    settings: Mapping[str, Any]
    graph: tuple[str, bytes] | None = None
    network: Network | None = None

    @classmethod
    def of(cls, predictor: Predictor, threads: int, network: Network | None = None) -> Setup:
        """The setup for workers that predict what a predictor does.

        Args:
            predictor: The driver's.
            threads: CPUs of a worker.
            network: The network that it was made with, unless the options say it.
        """
        options = replace(predictor.options, threads=threads, workers=predictor.options.workers or threads)
        return cls(predictor.weights, options, predictor.settings(), _graph_of(predictor), network)

    def predictor(self) -> Predictor:
        """Makes the predictor, in a worker.

        Raises:
            EngineError: It would not predict the same as the driver's.
        """
        os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(self.options.max_pixels)  # before OpenCV is imported
        import cv2

        from yolo_max.images.read import silence_opencv
        from yolo_max.predict.predictor import Predictor

        silence_opencv()
        cv2.setNumThreads(1)
        if self.graph is not None:
            from yolo_max.runtime.compiled import cache_bytes

            cache_bytes(*self.graph)
        predictor = Predictor(self.weights, self.options, engine=self.network, report=lambda _: None)
        own = predictor.settings()
        if differing := [name for name in own if own[name] != self.settings[name]]:
            raise EngineError(
                "a worker would not predict what this machine does: "
                + ", ".join(f"its {name} is {own[name]}, not {self.settings[name]}" for name in differing)
                + "; install the same yolo_max on all nodes, and name --device, --precision and --kernels."
            )
        return predictor


def _graph_of(predictor: Predictor) -> tuple[str, bytes] | None:
    """The key and content of the compiled graph of a predictor, if it is one of MAX's that is cached."""
    key = getattr(predictor.engine, "graph_key", None)
    if key is None:
        return None
    from yolo_max.runtime.compiled import cached_bytes

    data = cached_bytes(key)
    return None if data is None else (key, data)
