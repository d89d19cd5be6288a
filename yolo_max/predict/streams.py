"""Streams: many images, folders, videos and whatever else is a source, in bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from yolo_max.images.frame import Frame
from yolo_max.images.inputs import Input, frames_of_images, inputs
from yolo_max.images.memory import HELD
from yolo_max.images.read import ImageSource
from yolo_max.predict.pending import require_several
from yolo_max.predict.pipeline import Finished, afterwards
from yolo_max.predict.result import Result
from yolo_max.predict.stages import Stages, is_live
from yolo_max.predict.tiled import Tiling, in_tiles
from yolo_max.predict.tracking import follow, require_tracker
from yolo_max.support.errors import UsageError
from yolo_max.support.option import a_batch
from yolo_max.support.options import READING, TRACK_CONF, PredictOptions, SourceOptions
from yolo_max.tasks.contract import Decoder
from yolo_max.tasks.task import Task


class Streams(ABC):
    """What a predictor does with more than one image."""

    options: PredictOptions
    task: Task
    tiling: Tiling | None
    workers: int
    _stages: Stages

    @abstractmethod
    def _decoder_with(self, changes: Mapping[str, Any]) -> Decoder:
        """The decoder for a call with other options."""

    def predict(
        self,
        source: Input,
        *,
        keep_images: bool = True,
        batch: int | None = None,
        **changes: Any,
    ) -> Generator[Result, None, None]:
        """Predicts what is in everything that a source holds: images, folders, videos, frames.

            for result in predictor.predict("street.mp4"):
                print(result.frame.index, result.prediction)

        Args:
            source: See `yolo_max.images.inputs.inputs`; read as results are taken.
            keep_images: Whether results carry the decoded image, to be drawn on. It is in memory for as long
                as its result is, so do not collect those of a long video.
            batch: As for `stream`.
            changes: As for `stream`; and how the source is read: ``vid_stride``, ``stream_buffer``,
                ``allow_remote``, ``allow_private``, as in `SourceOptions`.

        Yields:
            As `stream`; ``result.frame`` says which frame of a video it is.

        Raises:
            SourceError: A source does not exist, or holds no image or video.
            UsageError: It is nothing that can be a source; or as for `stream`.
        """
        images = self._inputs(source, changes)
        return self.stream(images, keep_images=keep_images, batch=batch, **changes)

    def track(
        self,
        source: Input,
        *,
        tracker: str = "bytetrack",
        keep_images: bool = True,
        batch: int | None = None,
        **changes: Any,
    ) -> Generator[Result, None, None]:
        """As `predict`, with a number for each object of a video that is the same in all of its frames.

            for result in predictor.track("street.mp4"):
                for box in result.prediction:
                    print(box.track_id, box.class_name, box.xyxy)

        Objects that are on no track are left out, as in Ultralytics. Numbers start anew for each video.
        Images in memory are the frames of one.

        Args:
            source: As for `predict`.
            tracker: "bytetrack".
            keep_images: As for `predict`.
            batch: As for `predict`.
            changes: As for `predict`. ``conf`` is 0.1 unless the predictor was made with another than its
                default: less sure boxes continue a track.

        Yields:
            As `predict`; ``result.prediction.track_id`` has the numbers, ``result.trails`` where they were.

        Raises:
            EngineError: The package that tracks is not installed.
            SourceError: As for `predict`.
            UsageError: There is no such tracker, nothing to track; or as for `predict`.
        """
        if "conf" not in self.options.given():
            changes.setdefault("conf", TRACK_CONF)
        images = frames_of_images(self._inputs(source, changes))
        return self.map(_itself, images, keep_images=keep_images, batch=batch, tracker=tracker, **changes)

    def _inputs(self, source: Input, changes: dict[str, Any]) -> Iterator[ImageSource | Frame]:
        """The images and frames of a source, read as ``changes`` say; they no longer do afterwards."""
        reading = SourceOptions(**{name: changes.pop(name) for name in READING if name in changes})
        return inputs(source, reading, max_pixels=self.options.max_pixels)

    def stream(
        self,
        sources: Iterable[ImageSource | Frame],
        *,
        keep_images: bool = False,
        batch: int | None = None,
        **changes: Any,
    ) -> Generator[Result, None, None]:
        """Predicts what is in many images, decoding ahead on threads while the network runs.

        Memory stays bounded however many images there are: at most two per worker and per caller of the
        engine are held at once; with ``batch``, two per worker and four batches. Leaving the loop early stops
        everything.

        Args:
            sources: Paths or images, as for a single call; pulled as they are needed.
            keep_images: Whether results carry the decoded image, to be drawn on.
            batch: Images in one execution of the network; the predictor's own when absent.
            changes: As for a call.

        Yields:
            A `Result` for each source, in order. An image that cannot be read is a result with its error.

        Raises:
            UsageError: ``batch`` is less than 1, ``sources`` is a single source, or as for a call.
            Exception: Whatever a worker or ``sources`` raised.
        """
        return self.map(_itself, sources, keep_images=keep_images, batch=batch, **changes)

    def map(
        self,
        function: Callable[[Result], Finished],
        sources: Iterable[ImageSource | Frame],
        *,
        keep_images: bool = False,
        batch: int | None = None,
        tracker: str | None = None,
        **changes: Any,
    ) -> Generator[Finished, None, None]:
        """As `stream`, with a function applied to each result on a worker thread.

        Args:
            function: Its return value is yielded in place of the result.
            sources: As for `stream`.
            keep_images: As for `stream`.
            batch: As for `stream`.
            tracker: Who numbers the objects of videos; see `track`.
            changes: As for `stream`.

        Yields:
            ``function(result)`` for each source, in order.

        Raises:
            UsageError: ``batch`` is less than 1, ``sources`` is a single source, or as for a call.
            Exception: Whatever a worker, ``function`` or ``sources`` raised.
        """
        if tracker is not None:
            require_tracker(tracker)
            if not self.task.counted:
                raise UsageError(f"there is nothing to track with weights for the task {self.task.name}.")
            results = self.map(_itself, sources, keep_images=keep_images, batch=batch, **changes)
            return afterwards(function, follow(results), workers=self.workers, alone=is_live)
        require_several(sources)
        a_batch("batch", batch)
        batch = self.options.batch if batch is None else batch
        decoder = self._decoder_with(changes)
        if self.tiling is not None:
            merging = replace(
                self.tiling.merging,
                agnostic=changes.get("agnostic_nms", self.options.agnostic_nms),
                max_det=changes.get("max_det", self.options.max_det),
            )
            tiling = replace(self.tiling, merging=merging)
            results = in_tiles(
                sources,
                lambda tiles: self._stages.many(_itself, tiles, decoder, batch=batch),
                tiling,
                max_pixels=self.options.max_pixels,
                keep_images=keep_images,
                room=HELD.has_room,
                alone=is_live,
            )
            return afterwards(function, results, workers=self.workers, alone=is_live)
        return self._stages.many(function, sources, decoder, batch=batch, keep_images=keep_images)


def _itself(result: Result) -> Result:
    return result
