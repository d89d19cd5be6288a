"""Predictor: weights, engine, transform and decoder as one object, for one image or a stream of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from numbers import Integral
from threading import Semaphore
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yolo_max import __version__
from yolo_max.engine.choose import make_engine
from yolo_max.engine.contract import Engine, Network, as_engine
from yolo_max.images.read import DEFAULT_MAX_PIXELS, ImageSource
from yolo_max.images.transforms import fit_of
from yolo_max.predict.job import Job, infer
from yolo_max.predict.pipeline import in_stages, side_by_side
from yolo_max.predict.result import Result
from yolo_max.runtime.cpu import available_threads, runs_kernels
from yolo_max.runtime.kernel_package import precompile_on_first_start
from yolo_max.support.errors import UsageError
from yolo_max.support.parse import parse_imgsz
from yolo_max.tasks.contract import Outputs, Prediction
from yolo_max.tasks.registry import require_task, task_of
from yolo_max.weights.load import Weights, load_weights

Finished = TypeVar("Finished")


class Predictor:
    """Says what is in images; the weights decide what that means.

        predictor = Predictor("yolov8n")
        print(predictor("street.jpg"))

    Attributes:
        weights: The weights in use.
        task: What they are for.
        imgsz: (height, width) in pixels of the canvas that images are brought into.
        engine: The network, see `yolo_max.engine.contract.Engine`.
        decoder: Turns the raw outputs of one image into its prediction.
        predicts: What its weights must give.
    """

    predicts: ClassVar[type] = object

    def __init__(
        self,
        weights: str | os.PathLike[str] | Weights,
        *,
        engine: str | Engine | Network = "max",
        imgsz: int | Sequence[int] | None = None,
        conf: float = 0.25,
        iou: float = 0.7,
        classes: int | str | Iterable[int | str] | None = None,
        max_det: int = 300,
        agnostic_nms: bool = False,
        multi_label: bool = False,
        device: str = "auto",
        precision: str = "f32",
        kernels: str = "auto",
        threads: int | None = None,
        batch: int | None = None,
        workers: int | None = None,
        rect: bool = False,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """Loads the weights and compiles the network, or takes it from the cache.

        Names and defaults are Ultralytics' where it has them. Options of other tasks than the weights' are
        passed over.

        Args:
            weights: A `.safetensors` or `.pt` file, the name of a model, or loaded weights.
            engine: "max", "torch", an `yolo_max.engine.contract.Engine` of your own, or a plain callable from
                uint8 ``[B, H, W, 3]`` RGB to the raw output ``[B, ...]``, or several by name.
            imgsz: Side of the square canvas in pixels, or (height, width); the checkpoint's own when absent.
                Rounded up to a multiple of the largest stride, with a warning.
            conf: Boxes of a confidence above this are kept; in [0, 1].
            iou: Boxes that overlap a better one of their class by more than this are dropped; in [0, 1].
            classes: Only these classes, by id or name; all when absent.
            max_det: At most so many boxes per image.
            agnostic_nms: Whether boxes of different classes suppress each other.
            multi_label: Whether a cell gives a box for each class above ``conf``, as in validation.
            device: "cpu"; "gpu", "cuda:0" or "0"; or "auto" for a GPU where there is one.
            precision: "f32" or "bf16".
            kernels: "fused", "stock", or "auto" for the fused ones wherever they run.
            threads: Threads of the engine; the CPUs this process may run on when absent.
            batch: Images in one execution of the network when a stream is read, which takes all CPUs: 1 for
                the least time from an image to its result. When absent, one, but several executions at a
                time where the engine serves several callers best: the most images a second.
            workers: Images that are decoded ahead, or finished, while the network runs on others, when a
                stream is read; the CPUs this process may run on when absent.
            rect: Whether the canvas is cut to each image's aspect ratio, as Ultralytics' predict does: less
                to compute, and slightly other boxes.
            max_pixels: Images of more pixels are refused by their header, before any decoding.
            report: Called with a sentence when something begins that takes long.

        Raises:
            UsageError: An option has a value that makes no sense.
            WeightsError: The weights are missing, damaged, or of a network that is not ported.
            EngineError: The device, the kernels or the precision are not to be had on this machine.
        """
        counts: dict[str, Any] = {
            "batch": batch,
            "workers": workers,
            "max_pixels": max_pixels,
            "threads": threads,
        }
        for name, value in counts.items():
            if value is not None and (not isinstance(value, Integral) or int(value) < 1):
                raise UsageError(f"{name} is {value!r}, but it must be a whole number of at least 1.")
        if engine == "max" and kernels != "stock" and device != "gpu" and runs_kernels():
            precompile_on_first_start()
        self.weights = weights if isinstance(weights, Weights) else load_weights(weights)
        meta = self.weights.meta
        self.imgsz = parse_imgsz(meta.imgsz if imgsz is None else imgsz, meta.network.stride)
        self.task = task_of(meta)
        require_task(meta, self.predicts, type(self).__name__)
        self.decoder = self.task.decoder(
            meta,
            {
                "conf": conf,
                "iou": iou,
                "classes": classes,
                "max_det": max_det,
                "agnostic_nms": agnostic_nms,
                "multi_label": multi_label,
            },
        )
        self.workers = available_threads() if workers is None else workers
        self.rect = rect
        self._fit = fit_of(self.task.fit, self.imgsz, rect_stride=meta.network.stride if rect else None)
        self.max_pixels = max_pixels
        self._engine_name = engine if isinstance(engine, str) else type(engine).__name__
        # What costs seconds comes last, after everything that can be refused in no time.
        if isinstance(engine, str):
            engine = make_engine(
                engine,
                self.weights,
                imgsz=self.imgsz,
                batch=batch or 1,
                device=device,
                precision=precision,
                kernels=kernels,
                threads=threads,
                rect=rect,
                report=report,
            )
        self.engine: Engine = as_engine(engine, meta.network.outputs)
        # For all streams together.
        self._runs = Semaphore(self.engine.callers)
        self.batch = batch

    def __call__(self, image: ImageSource) -> Prediction:
        """Says what is in one image.

        Args:
            image: A path, the bytes of an image file, a PIL image, or uint8 BGR [H, W, 3] (or gray [H, W]).

        Returns:
            The prediction, in pixels of the image as displayed, most confident first.

        Raises:
            ImageError: The image cannot be read.
        """
        job = self._prepare(image, keep_image=False)
        if job.result.error:
            raise job.result.error
        infer([job], self.run)
        job.decode(self.decoder)
        assert job.result.prediction is not None
        return job.result.prediction

    def run(self, batch: NDArray[np.uint8], *, shared: bool = False) -> list[Outputs]:
        """Runs the network for what the decoder needs.

        Args:
            batch: uint8 ``[B, H, W, 3]`` RGB, as the transform makes it.
            shared: Whether others call it at the same time.

        Returns:
            The raw outputs of each image.
        """
        return self.engine.run(batch, self.decoder.min_logit, shared=shared)

    def settings(self) -> dict[str, Any]:
        """Everything that predictions depend on, in plain JSON types: equal settings, equal predictions."""
        return {
            "yolo_max": __version__,
            "weights": self.weights.sha256,
            "engine": self._engine_name,
            **{name: str(getattr(self.engine, name, None)) for name in ("device", "precision", "kernels")},
            "imgsz": list(self.imgsz),
            "rect": self.rect,
            **self.decoder.settings(),
            "max_pixels": self.max_pixels,
        }

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        keep_images: bool = False,
        batch: int | None = None,
    ) -> Generator[Result, None, None]:
        """Says what is in many images, decoding ahead on threads while the network runs.

        Memory stays bounded whatever the number of images: of those that are under way or wait to be yielded
        there are at most two for each worker and each caller that the engine serves; with ``batch``, two for
        each worker and four batches.
        Leaving the loop early stops everything.

        Args:
            sources: Paths or images, as for a single one; pulled from as they are needed.
            keep_images: Whether results carry the decoded image, to be drawn on.
            batch: Images in one execution of the network; the predictor's own when absent.

        Yields:
            A `Result` for each source, in order. An image that cannot be read is a result with its error.

        Raises:
            UsageError: ``batch`` is less than 1, or ``sources`` is one source and not several.
            Exception: Whatever a worker or ``sources`` raised.
        """
        return self.map(_itself, sources, keep_images=keep_images, batch=batch)

    def map(
        self,
        function: Callable[[Result], Finished],
        sources: Iterable[ImageSource],
        *,
        keep_images: bool = False,
        batch: int | None = None,
    ) -> Generator[Finished, None, None]:
        """As `stream`, with a function that is applied to each result on a worker thread.

        Args:
            function: What it returns is yielded in place of the result.
            sources: As for `stream`, and so are the others.
            keep_images: Likewise.
            batch: Likewise.

        Yields:
            ``function(result)`` for each source, in order.

        Raises:
            UsageError: ``batch`` is less than 1, or ``sources`` is one source and not several.
            Exception: Whatever a worker, ``function`` or ``sources`` raised.
        """
        if (one := _single(sources)) is not None:
            raise UsageError(
                f"a stream takes several images, and {one} is one source; give a list, or for a folder "
                "Path(folder).iterdir()."
            )
        batch = self.batch if batch is None else batch
        if batch is not None and batch < 1:
            raise UsageError(f"batch is {batch}, but it must be at least 1.")

        def prepare(source: ImageSource) -> Job:
            return self._prepare(source, keep_images)

        def finish(job: Job) -> Finished:
            job.decode(self.decoder)
            return function(job.result)

        def run_beside_others(job: Job) -> None:
            with self._runs:
                infer([job], lambda batch: self.run(batch, shared=True))

        def run(jobs: list[Job]) -> None:
            infer(jobs, self.run)

        if batch is None and self.engine.callers > 1:
            return side_by_side(
                prepare, run_beside_others, finish, sources, callers=self.engine.callers, workers=self.workers
            )
        return in_stages(
            prepare, run, finish, sources, batch=batch or 1, canvas_of=_canvas_shape, workers=self.workers
        )

    def _prepare(self, source: ImageSource, keep_image: bool) -> Job:
        return Job.prepare(source, self._fit, max_pixels=self.max_pixels, keep_image=keep_image)


def _canvas_shape(job: Job) -> tuple[int, ...] | None:
    return None if job.canvas is None else job.canvas.shape


def _single(sources: object) -> str | None:
    """What a single source is called, which is no stream; None for several."""
    if isinstance(sources, str | os.PathLike):
        return repr(os.fspath(sources))
    if isinstance(sources, bytes | bytearray | memoryview):
        return "a file's bytes"
    if isinstance(sources, Image.Image):
        return "a PIL image"
    if isinstance(sources, np.ndarray) and sources.dtype != object and sources.ndim < 4:
        return f"an array of {sources.ndim} dimensions"
    return None


def _itself(result: Result) -> Result:
    return result
