"""Result: what became of one image of a stream."""

from __future__ import annotations

import copy
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.frame import Position
from yolo_max.images.memory import MemoryBudget
from yolo_max.images.read import ImageSource
from yolo_max.output.records import image_id_of
from yolo_max.support.errors import ImageError, UsageError, YoloMaxError
from yolo_max.support.option import with_keywords
from yolo_max.support.options import DrawOptions
from yolo_max.support.text import first_line
from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.exports import Exports
from yolo_max.tasks.marks import TrailMark

_KEPT = MemoryBudget(2**30)
"""For the images that all results together keep."""
_HERE = {
    **dict.fromkeys(("boxes", "obb"), "result.prediction has xyxy, confidence and class_id"),
    **dict.fromkeys(("masks", "keypoints", "names"), "result.prediction has them"),
    "probs": "result.prediction has class_id and confidence",
    "orig_img": "use result.image, of a stream that keeps images",
    "orig_shape": "use result.prediction.image_size",
    "path": "use result.source",
    "speed": "use result.times_ms",
    "verbose": "use str(result)",
    "show": "use result.plot or result.save",
    "save_txt": "result.prediction.labels has the lines",
    "to_csv": "use result.to_df().write_csv()",
    "tojson": "use result.to_json()",
}
"""What attributes of Ultralytics' results are called."""


@dataclass(repr=False)
class Result(Exports):
    """What became of one image of a stream.

    As a string it is one line: the image, and what was found in it or why it could not be read. It is as long
    as its prediction, iterates over what that lists, and is selected from like it; a selection is a result. A
    notebook shows the picture and the table. All of this raises the error of an image that could not be read.

    Attributes:
        source: The image as it was given; of a frame, the video or stream that it is from.
        prediction: What was found; None if the image could not be read.
        error: Why the image could not be read; None if it could.
        frames: How many frames or pages the image's file holds; only one of them was read.
        frame: Where a frame is in its video or stream (``result.frame.index``); None for an image.
        trails: The ways that tracked objects have come.
        max_det_reached: Whether as many things were found as ``max_det`` allows, so that there may be more.
        times_ms: Milliseconds spent on this image by stage: decode, letterbox, infer (the batch's time
            divided by its images), postprocess; of an image in tiles those of all tiles, and merge. They add
            up to more than the run took where several images were worked on at once.
    """

    source: ImageSource
    prediction: Prediction | None = None
    error: ImageError | None = None
    frames: int = 1
    frame: Position | None = None
    trails: tuple[TrailMark, ...] = ()
    max_det_reached: bool = False
    times_ms: dict[str, float] = field(default_factory=dict)
    _kept: NDArray[np.uint8] | None = field(default=None, init=False, compare=False)
    _read_again: Callable[[], NDArray[np.uint8]] | None = field(default=None, init=False, compare=False)

    @property
    def image(self) -> NDArray[np.uint8] | None:
        """uint8 [H, W, 3] BGR, the image as displayed, if the stream was asked to keep it.

        Where kept images would take more than 1 GiB together, it is read again.

        Raises:
            ImageError: It can no longer be read.
        """
        if self._kept is None and self._read_again is not None:
            return self._read_again()
        return self._kept

    def keep(self, image: NDArray[np.uint8], read_again: Callable[[], NDArray[np.uint8]]) -> None:
        """Makes `image` available: as it is if there is memory for it, else by reading it again.

        No thread waits for that memory. Threads that hold it may wait themselves, for a whole batch.
        """
        self._read_again = read_again
        if _KEPT.take(image.nbytes):
            # It is taken for as long as the array lives, whoever holds that.
            weakref.finalize(image, _KEPT.give_back, image.nbytes).atexit = False
            self._kept = image

    def __str__(self) -> str:
        path = self.source if isinstance(self.source, str | os.PathLike) else None
        name = f"<{type(self.source).__name__}>" if path is None else os.fspath(path)
        place = "" if self.frame is None else f" (frame {self.frame.index})"
        return f"{name}{place}: {self.error.reason if self.error else self.prediction}"

    def __repr__(self) -> str:
        return f"<Result: {self}>"

    if not TYPE_CHECKING:  # which would take every name then

        def __getattr__(self, name: str) -> NoReturn:
            hint = f"; {_HERE[name]}" if name in _HERE else ""
            raise AttributeError(f"a result has no {name!r}{hint}.", name=name, obj=self)

    @property
    def live(self) -> bool:
        """Whether it is of the newest frame of a live source."""
        return self.frame is not None and self.frame.live

    @property
    def found(self) -> Any:
        """The prediction.

        Raises:
            ImageError: The image could not be read.
            UsageError: The result is not one that a stream yielded.
        """
        if self.error:
            raise self.error
        if self.prediction is None:
            raise UsageError("the result has no prediction yet; use one that a stream yields.")
        return self.prediction

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.found)

    def __getitem__(self, index: Any) -> Any:
        """What the prediction has at an int; a result for a slice, a boolean mask or ascending indices.

        Of a classification these give a tuple of classes, which is no prediction.

        Raises:
            ImageError: The image could not be read.
            IndexError: There are fewer things, or the mask has another length.
            UsageError: The index is of another kind, or its indices do not ascend.
        """
        chosen = self.found[index]
        return self._with(chosen) if isinstance(chosen, type(self.found)) else chosen

    def filter(self, classes: int | str | Iterable[int | str] | None = None, conf: float = 0.0) -> Self:
        """The same result with what is of some classes, or of some confidence.

        Args:
            classes: One or more ids or names; all by default.
            conf: Minimum confidence, in [0, 1].

        Raises:
            UsageError: There is no such class, ``conf`` is no fraction, or the task has no objects.
        """
        if not hasattr(self.found, "filter"):
            raise UsageError("a classification has the probability of each class, and no objects to filter.")
        return self._with(self.found.filter(classes, conf))

    def _with(self, prediction: Prediction) -> Self:
        other = copy.copy(self)
        other.prediction = prediction
        return other

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """See `yolo_max.tasks.exports.Exports.summary`."""
        rows: list[dict[str, Any]] = self.found.summary(normalize, decimals)
        return rows

    def _blank_row(self) -> dict[str, Any]:
        row: dict[str, Any] = self.found._blank_row()
        return row

    def to_coco(
        self, image_id: int | str | None = None, categories: Mapping[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """See `yolo_max.tasks.exports.Exports.to_coco`.

        Args:
            image_id: By default that of `yolo_max.output.records.image_id_of`; 0 of an image in memory.
            categories: The dataset's category of each class id; by default they are the same.
        """
        if image_id is None:
            path = self.source if isinstance(self.source, str | os.PathLike) else "0"
            image_id = image_id_of(path, None if self.frame is None else self.frame.index)
        rows: list[dict[str, Any]] = self.found.to_coco(image_id, categories)
        return rows

    def to_supervision(self) -> Any:
        """See `yolo_max.tasks.exports.Exports.to_supervision`."""
        return self.found.to_supervision()

    def _repr_html_(self) -> str | None:
        """What a notebook shows: the picture, if the image can still be read, and the table."""
        if self.error:
            return None
        from yolo_max.predict.picture import inline

        table: str = self.found._repr_html_()
        try:
            return inline(self.plot()) + table
        except YoloMaxError:
            return table

    @with_keywords(DrawOptions)
    def plot(self, **options: Any) -> NDArray[np.uint8]:
        """Draws what was found on a copy of the image.

        An image that the stream did not keep is read again.

        Args:
            **options: See `yolo_max.support.options.DrawOptions`.

        Returns:
            uint8 [H, W, 3] BGR.

        Raises:
            ImageError: The image could not be read, or no longer can.
        """
        from yolo_max.predict.picture import draw

        return draw(*self._pair(), trails=self.trails, **options)

    @with_keywords(DrawOptions)
    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Writes the image with what was found drawn on it, as ``yolo-max predict`` does.

        Args:
            path: Where to; its suffix decides the format. Missing folders are made.
            **options: As for `plot`.

        Raises:
            ImageError: As for `plot`.
            UsageError: The suffix is not of a format that can be written.
            OutputError: The file cannot be written.
        """
        from yolo_max.predict.picture import save

        save(path, *self._pair(), trails=self.trails, **options)

    def save_crop(self, save_dir: str | os.PathLike[str], file_name: str = "im.jpg") -> list[Path]:
        """Writes a picture of each object as Ultralytics does: ``SAVE_DIR/CLASS/im.jpg``, ``im-2.jpg``, ...

        Args:
            save_dir: The folder, made if it is missing. Files in it stay: the next number is taken.
            file_name: What the files are called.

        Returns:
            The files.

        Raises:
            ImageError: As for `plot`.
            OutputError: A file cannot be written.
        """
        from yolo_max.predict.picture import save_crops

        return save_crops(Path(save_dir), Path(file_name).stem, *self._pair())

    def _pair(self) -> tuple[ImageSource, Prediction]:
        found, image = self.found, self.image
        return self.source if image is None else image, found


@contextmanager
def timed(result: Result, stage: str) -> Iterator[None]:
    """Records the milliseconds that a ``with`` block takes as the result's time for a stage."""
    start = perf_counter()
    yield
    result.times_ms[stage] = (perf_counter() - start) * 1000


@contextmanager
def contained(result: Result, stage: str) -> Iterator[None]:
    """As `timed`, for a stage in which an image can harm nothing but itself.

    Raises:
        ImageError: Something unexpected went wrong in the ``with`` block, be it that memory ran out.
    """
    try:
        with timed(result, stage):
            yield
    except YoloMaxError:
        raise
    except MemoryError as error:
        raise ImageError(f"there is not enough memory for it ({stage})") from error
    except Exception as error:
        raise ImageError(f"it cannot be processed ({stage}: {first_line(error)})") from error
