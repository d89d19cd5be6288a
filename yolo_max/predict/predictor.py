"""Predictor: weights, engine, transform and decoder as one object."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import TracebackType
from typing import Any, ClassVar, Self, overload

import numpy as np
from numpy.typing import NDArray

from yolo_max import __version__
from yolo_max.engine.choose import make_engine
from yolo_max.engine.contract import Engine, Network, as_engine
from yolo_max.images.read import ImageSource
from yolo_max.images.transforms import fit_of
from yolo_max.predict.result import Result
from yolo_max.predict.stages import Stages
from yolo_max.predict.streams import Streams
from yolo_max.predict.tiled import Tiling
from yolo_max.runtime.cpu import available_threads, runs_kernels
from yolo_max.runtime.kernel_package import precompile_on_first_start
from yolo_max.runtime.max_cache import place_max_cache
from yolo_max.support.errors import UsageError
from yolo_max.support.option import about, with_keywords
from yolo_max.support.options import DETECTIONS, PredictOptions
from yolo_max.support.text import shorten
from yolo_max.tasks.contract import Decoder, Outputs, Prediction
from yolo_max.tasks.registry import require_task, task_of
from yolo_max.weights.load import NO_ONE_TO_ONE_HEAD, Weights, load_weights

Several = list[Any] | tuple[Any, ...]
"""Images that are given together."""
PER_CALL = tuple(each.name for each in fields(PredictOptions) if about(each).group == DETECTIONS)
"""The options that can change with a call: those that only the decoder reads."""


class Predictor(Streams):
    """Predicts what is in images; the weights say for which task.

        predictor = Predictor("yolov8n")
        print(predictor("street.jpg"))
        print(predictor("street.jpg", conf=0.5, classes="person"))

    Once made it does not change; options of detection can be given per call. Threads may share it: a
    call that is alone has all of the network's threads; where many come at once, several run side by side
    with a share of the threads each, and the others wait their turn. A stream is for more. As a context
    manager it lets go of the network at the end.

    Attributes:
        weights: The weights in use.
        options: The options in use.
        task: The weights' task.
        imgsz: (height, width) in pixels of the canvas that images are fitted to.
        fit: How: from an image's (height, width), its place on the canvas.
        tiling: How large images are cut into tiles; None if they are not.
        decoder: Turns the raw outputs of one image into its prediction.
        names: The model's class names by id.
        predicts: The type of prediction that the weights must give.
    """

    predicts: ClassVar[type] = object

    @with_keywords(PredictOptions)
    def __init__(
        self,
        weights: str | os.PathLike[str] | Weights,
        options: PredictOptions | None = None,
        *,
        engine: str | Engine | Network | None = None,
        report: Callable[[str], None] | None = None,
        **changes: Any,
    ) -> None:
        """Loads the weights, and compiles the network or loads it from the cache.

        Args:
            weights: A `.safetensors` or `.pt` file, the name of a model, or loaded weights.
            options: The options of the prediction; the defaults when absent. Options of other tasks are
                ignored, and reported.
            engine: "max" or "torch", as in the options; or a `yolo_max.engine.contract.Engine` of your own,
                or a plain callable from uint8 ``[B, H, W, 3]`` RGB to the raw output ``[B, ...]``, or to
                several by name.
            report: Called with a sentence before something that takes long, and about options that are
                ignored; when absent it is logged, as a warning of the logger "yolo_max".
            **changes: The other options of the signature: ``Predictor("yolov8n", conf=0.4)``; see
                `PredictOptions`.

        Raises:
            UsageError: An option does not exist or has an invalid value.
            WeightsError: The weights are missing, damaged, or of a network that is not ported.
            EngineError: The device, the kernels or the precision are not available on this machine.
        """
        if not isinstance(options, PredictOptions | None):
            raise UsageError(f"options are {shorten(options)}, but they must be PredictOptions.")
        options = (options or PredictOptions()).with_changes(changes)
        report = report or logging.getLogger("yolo_max").warning
        engine = options.engine if engine is None else engine
        if engine == "max":
            place_max_cache(report)
        if _may_compile(engine, options) and runs_kernels():
            precompile_on_first_start()
        self.weights = weights if isinstance(weights, Weights) else load_weights(weights)
        if not options.nms:
            self.weights = self.weights.without_nms()
            if self.weights.meta.network.nms:
                report(NO_ONE_TO_ONE_HEAD)
        meta = self.weights.meta
        self.options = options
        self.imgsz = meta.canvas_size(options.imgsz)
        self.task = task_of(meta)
        require_task(meta, self.predicts, type(self).__name__)
        if ignored := self.task.ignored(options.given()):
            report(ignored)
        self.tiling = Tiling.of(options, self.task)
        self.decoder = self._decoder_of(options)
        self.workers = options.workers or available_threads()
        rect_stride = meta.network.stride if options.rect else None
        self.fit = fit_of(
            self.task.fit,
            self.imgsz,
            rect_stride=rect_stride,
            clip=options.clip,
            round_up=options.round_up,
        )
        self._engine_name = engine if isinstance(engine, str) else type(engine).__name__
        # Compiling takes seconds, so it comes after everything that can be refused at once.
        if isinstance(engine, str):
            engine = make_engine(
                engine,
                self.weights,
                imgsz=self.imgsz,
                batch=options.batch or 1,
                device=options.device,
                precision=options.precision,
                kernels=options.kernels,
                threads=options.threads,
                rect=options.rect,
                compiled=options.compiled,
                report=report,
            )
        self._stages = Stages(
            as_engine(engine, meta.network.outputs),
            self.fit,
            max_pixels=options.max_pixels,
            workers=self.workers,
        )

    @property
    def engine(self) -> Engine:
        """The network; see `yolo_max.engine.contract.Engine`."""
        return self._stages.engine

    @property
    def names(self) -> Mapping[int, str]:
        """The model's class names by id."""
        return self.weights.meta.names

    def __repr__(self) -> str:
        height, width = self.imgsz
        return (
            f"<{type(self).__name__}: {self.weights.path.name}, {self.task.name}, "
            f"{len(self.names)} classes, {width} x {height}, {self._engine_name}>"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, "_stages"):  # the last that is set
            raise UsageError(
                f"{name} cannot be set on a {type(self).__name__}; give options when you make it, or "
                f"{', '.join(PER_CALL)} with a call."
            )
        super().__setattr__(name, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the network and its memory; nothing can be predicted afterwards."""
        self._stages.close()

    @overload
    def __call__(self, image: ImageSource, **changes: Any) -> Prediction: ...
    @overload
    def __call__(self, image: Several, **changes: Any) -> list[Any]: ...
    def __call__(self, image: ImageSource | Several, **changes: Any) -> Prediction | list[Any]:
        """Predicts what is in one image, or in each of a list.

        Args:
            image: A path, the bytes of an image file, a PIL image, or uint8 BGR [H, W, 3] (or gray [H, W]). A
                list or tuple of these, or uint8 BGR [B, H, W, 3]: several, worked on side by side.
            changes: Options of `PER_CALL` for this call: ``predictor("street.jpg", conf=0.4)``.

        Returns:
            The prediction, in pixels of the image as displayed, most confident first; of several images a
            list of them, in their order.

        Raises:
            UsageError: An option does not exist, has an invalid value, or cannot change with a call.
            ImageError: An image cannot be read. `stream` goes on with the others.
        """
        if isinstance(image, list | tuple) or (isinstance(image, np.ndarray) and image.ndim == 4):
            return [result.found for result in self.stream(list(image), **changes)]
        found: Prediction = self.result(image, **changes).found
        return found

    def result(self, image: ImageSource, *, keep_image: bool = False, **changes: Any) -> Result:
        """As a call, with the time of each stage. Any number of threads may call it at once.

        Args:
            image: As for a call.
            keep_image: Whether the result carries the decoded image, to be drawn on.
            changes: As for a call.

        Returns:
            The result; that of an image that cannot be read has its error.

        Raises:
            UsageError: As for a call.
        """
        if self.tiling is not None:
            (result,) = self.stream([image], keep_images=keep_image, **changes)
            return result
        return self._stages.one(image, self._decoder_with(changes), keep_image=keep_image)

    def run(self, batch: NDArray[np.uint8]) -> list[Outputs]:
        """Runs the network for the cells that the decoder needs.

        Args:
            batch: uint8 ``[B, H, W, 3]`` RGB, as the transform makes it.

        Returns:
            The raw outputs of each image.
        """
        return self.engine.run(batch, self.decoder.min_logit)

    def settings(self) -> dict[str, Any]:
        """Everything that predictions depend on, as plain JSON types; equal settings, equal predictions."""
        return {
            "yolo_max": __version__,
            "weights": self.weights.sha256,
            "engine": self._engine_name,
            **{name: str(self.engine.info.get(name)) for name in ("device", "precision", "kernels")},
            "imgsz": list(self.imgsz),
            "rect": self.options.rect,
            **self.decoder.settings(),
            **({} if self.tiling is None else self.tiling.settings()),
            "max_pixels": self.options.max_pixels,
        }

    def _decoder_with(self, changes: Mapping[str, Any]) -> Decoder:
        if not changes:
            return self.decoder
        options = self.options.with_changes(changes)
        if fixed := sorted(changes.keys() - set(PER_CALL)):
            raise UsageError(
                f"{', '.join(fixed)} cannot change with a call; make another {type(self).__name__} with it."
            )
        if ignored := self.task.ignored(changes):
            logging.getLogger("yolo_max").warning(ignored)
        return self._decoder_of(options)

    def _decoder_of(self, options: PredictOptions) -> Decoder:
        if self.tiling is not None:  # masks that can be placed in an image
            options = options.with_changes({"retina_masks": True})
        return self.task.decoder(self.weights.meta, options)


def _may_compile(engine: str | Engine | Network, options: PredictOptions) -> bool:
    """Whether the fused kernels may have to be compiled."""
    may = engine == "max" and options.kernels != "stock" and options.device != "gpu"
    return may and options.compiled is None
