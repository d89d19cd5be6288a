"""The stages of a predictor: an image is read, fitted to the canvas, run through the network and decoded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from yolo_max.engine.contract import Engine
from yolo_max.images.frame import Frame
from yolo_max.images.memory import HELD
from yolo_max.images.read import ImageSource
from yolo_max.images.transforms import Fit
from yolo_max.predict.pending import PendingImage, infer
from yolo_max.predict.pipeline import Finished, in_stages, side_by_side
from yolo_max.predict.result import Result
from yolo_max.predict.turns import Turns
from yolo_max.support.errors import UsageError
from yolo_max.tasks.contract import Decoder, Outputs


class Stages:
    """What an image goes through; any number of calls and streams share the engine.

    Attributes:
        engine: The network.
        fit: From an image's (height, width), its place on the canvas.
        workers: Threads for all other work.
    """

    def __init__(self, engine: Engine, fit: Fit, *, max_pixels: int, workers: int) -> None:
        """Takes the engine.

        Args:
            engine: The network.
            fit: As the attribute.
            max_pixels: Larger images are refused.
            workers: As the attribute.
        """
        self.engine: Engine = engine
        self.fit, self.workers = fit, workers
        self._max_pixels = max_pixels
        self._turns = Turns(engine.callers)

    def close(self) -> None:
        """Lets go of the engine."""
        self.engine = _Closed()

    def one(self, image: ImageSource, decoder: Decoder, *, keep_image: bool) -> Result:
        """Works on one image.

        Args:
            image: The image.
            decoder: For this call.
            keep_image: Whether the result carries the decoded image.
        """
        pending = self._prepare(image, keep_image)
        if not pending.result.error:
            with self._turns.take() as shared:
                infer([pending], lambda canvases: self.engine.run(canvases, decoder.min_logit, shared=shared))
            pending.decode(decoder)
        return pending.result

    def many(
        self,
        function: Callable[[Result], Finished],
        sources: Iterable[ImageSource | Frame],
        decoder: Decoder,
        *,
        batch: int | None,
        keep_images: bool = False,
    ) -> Generator[Finished, None, None]:
        """Works on many images side by side; see `yolo_max.predict.streams.Streams.map`.

        Args:
            function: Applied to each result on a worker thread.
            sources: The images.
            decoder: For this stream.
            batch: Images in one execution of the network; by default one, and several beside each other.
            keep_images: Whether results carry the decoded image.

        Yields:
            ``function(result)`` for each source, in order.
        """

        def prepare(source: ImageSource | Frame) -> PendingImage:
            return self._prepare(source, keep_images)

        def finish(pending: PendingImage) -> Finished:
            pending.decode(decoder)
            return function(pending.result)

        def run_shared(pending: PendingImage) -> None:
            with self._turns.take(may_be_alone=pending.live) as shared:
                infer([pending], lambda canvases: self.engine.run(canvases, decoder.min_logit, shared=shared))

        def run(batch: list[PendingImage]) -> None:
            with self._turns.take() as shared:
                infer(batch, lambda canvases: self.engine.run(canvases, decoder.min_logit, shared=shared))

        if batch is None and self.engine.callers > 1:
            return side_by_side(
                *(prepare, run_shared, finish, sources),
                callers=self.engine.callers,
                workers=self.workers,
                room=HELD.has_room,
                alone=is_live,
            )
        return in_stages(
            *(prepare, run, finish, sources),
            batch=batch or 1,
            canvas_of=_canvas_shape,
            workers=self.workers,
            room=HELD.has_room,
            alone=is_live,
        )

    def _prepare(self, source: ImageSource | Frame, keep_image: bool) -> PendingImage:
        return PendingImage.prepare(source, self.fit, max_pixels=self._max_pixels, keep_image=keep_image)


class _Closed:
    """The engine of a predictor that was closed."""

    callers = 1
    info: Mapping[str, str | int] = {}

    def run(self, *_: Any, **__: Any) -> list[Outputs]:
        raise UsageError("the predictor is closed; make another.")


def is_live(item: ImageSource | Frame | PendingImage | Result) -> bool:
    """Whether the result of an item is wanted before another is begun."""
    return isinstance(item, Frame | PendingImage | Result) and item.live


def _canvas_shape(pending: PendingImage) -> tuple[int, ...] | None:
    return None if pending.canvas is None else pending.canvas.shape
