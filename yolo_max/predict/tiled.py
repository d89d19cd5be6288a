"""Images predicted tile by tile: what each tile gives is merged into one result for the image.

    sources ──read──► image ──cut──► tiles ──the predictor's own stream──► predictions ──merge──► result

The next image is read while the tiles of one are worked on, and no more than that. Of the tiles, as many are
in memory as of images in any stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.images.frame import Frame
from yolo_max.images.read import ImageSource
from yolo_max.images.tiles import Tile, tiles_of
from yolo_max.predict.pending import read
from yolo_max.predict.pipeline import THREADS, ordered_map
from yolo_max.predict.result import Result, timed
from yolo_max.support.errors import ImageError, UsageError
from yolo_max.support.options import PredictOptions
from yolo_max.support.text import shorten
from yolo_max.tasks.task import Task
from yolo_max.tasks.tiles import Merging, Part

AHEAD = 2
"""How many images are read at once: one to cut, one for later."""

Network = Callable[[Iterator[Frame]], Generator[Result, None, None]]
"""Predicts what is in each of the frames, in order."""


@dataclass(frozen=True)
class Tiling:
    """How images are cut, and put together again.

    Attributes:
        side: Of a tile, in pixels.
        overlap: How much of it its neighbour has, too, in [0, 1).
        whole: Whether the whole image is predicted as well, if it is larger than a tile.
        merging: What is one object.
    """

    side: int
    overlap: float
    whole: bool
    merging: Merging

    @classmethod
    def of(cls, options: PredictOptions, task: Task) -> Tiling | None:
        """As the options say; None without tiles.

        Raises:
            UsageError: The task knows no tiles, or no such way to merge them.
        """
        if options.tile is None:
            return None
        merges = task.merges
        if not merges:
            raise UsageError(
                f"weights for the task {task.name} say what is on an image as a whole; leave out tile."
            )
        rule = merges[0] if options.tile_merge is None else options.tile_merge
        if rule not in merges:
            raise UsageError(
                f"tile_merge is {shorten(rule)}, but with weights for the task {task.name} it must be "
                f"{' or '.join(merges)}."
            )
        merging = Merging(rule, options.tile_match, options.agnostic_nms, options.max_det)
        return cls(options.tile, options.overlap, options.tile_whole, merging)

    def settings(self) -> dict[str, Any]:
        """What predictions depend on, as plain JSON types."""
        return {
            "tile": self.side,
            "overlap": self.overlap,
            "tile_merge": self.merging.rule,
            "tile_match": self.merging.threshold,
            "tile_whole": self.whole,
        }

    def parts(self, image_size: tuple[int, int]) -> list[Tile]:
        """The parts of an image that are predicted; the whole one last."""
        tiles = tiles_of(image_size, self.side, self.overlap)
        height, width = image_size
        return [*tiles, Tile(0, 0, width, height)] if self.whole and len(tiles) > 1 else tiles


@dataclass
class _Image:
    """One image: its result, and what was found in it so far.

    Attributes:
        result: Has its error, if it cannot be read.
        size: (height, width).
        left: How many parts are not predicted yet.
        found: What was found in the others.
    """

    result: Result
    size: tuple[int, int] = (0, 0)
    left: int = 1
    found: list[Part] = field(default_factory=list)

    def add(self, part: Tile, predicted: Result) -> None:
        """Takes what was found in a part."""
        self.left -= 1
        for stage, time in predicted.times_ms.items():
            if stage != "decode":  # a tile is there already
                self.result.times_ms[stage] = self.result.times_ms.get(stage, 0.0) + time
        self.result.max_det_reached |= predicted.max_det_reached
        if predicted.error is not None:
            self.result.error = self.result.error or predicted.error
        elif predicted.prediction is not None:
            self.found.append(Part(predicted.prediction, part.left, part.top))

    def merge(self, merging: Merging) -> Result:
        """The result, once no part is left."""
        if self.result.error is None:
            with timed(self.result, "merge"):
                self.result.prediction = merged = merging(self.found, self.size)
            self.result.max_det_reached |= merging.max_det is not None and len(merged) >= merging.max_det
        return self.result


def in_tiles(
    sources: Iterable[ImageSource | Frame],
    predict: Network,
    tiling: Tiling,
    *,
    max_pixels: int,
    keep_images: bool,
    room: Callable[[], bool],
    alone: Callable[[ImageSource | Frame], bool],
) -> Generator[Result, None, None]:
    """Predicts what is in images, tile by tile.

    Args:
        sources: As for a predictor's stream.
        predict: Its stream.
        tiling: How to cut and merge.
        max_pixels: Larger images are refused.
        keep_images: Whether results carry the decoded image.
        room: Whether there is memory for another image.
        alone: Whether the result of a source is handed out before another is pulled.

    Yields:
        A result for each source, in order.

    Raises:
        Exception: Whatever ``sources`` or ``predict`` raised.
    """
    begun: deque[tuple[_Image, Tile]] = deque()

    def cut(images: Iterable[tuple[Result, NDArray[np.uint8] | None]]) -> Iterator[Frame]:
        for result, pixels in images:
            if pixels is None:
                begun.append((_Image(result), Tile(0, 0, 0, 0)))
                yield Frame("", result.frame, partial(_unreadable, result))
                continue
            height, width = pixels.shape[:2]
            parts = tiling.parts((height, width))
            image = _Image(result, (height, width), len(parts))
            for part in parts:
                begun.append((image, part))
                position = result.frame if part is parts[-1] else None  # a live one waits for no other
                yield Frame("", position, partial(_cut_out, pixels, part))

    def load(source: ImageSource | Frame) -> tuple[Result, NDArray[np.uint8] | None]:
        return read(source, max_pixels=max_pixels, keep_image=keep_images)

    with (
        ThreadPoolExecutor(AHEAD, THREADS) as executor,
        closing(ordered_map(load, sources, executor, AHEAD, room, alone)) as images,
        closing(predict(cut(images))) as predicted,
    ):
        for each in predicted:
            image, part = begun.popleft()
            image.add(part, each)
            if not image.left:
                yield image.merge(tiling.merging)


def _cut_out(pixels: NDArray[np.uint8], part: Tile) -> NDArray[np.uint8]:
    return pixels[part.top : part.bottom, part.left : part.right]


def _unreadable(result: Result) -> NDArray[np.uint8]:
    raise result.error or ImageError("it was not read")
