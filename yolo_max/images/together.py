"""Videos and streams opened, and several of them read at the same time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from threading import Condition
from typing import TypeVar

from yolo_max.images.frame import Frame
from yolo_max.images.remote import Live, open_remote
from yolo_max.images.source import SourceVideo
from yolo_max.images.video import Sound, Video, broken
from yolo_max.support.errors import ImageError
from yolo_max.support.options import SourceOptions

Item = TypeVar("Item")
_AT_ONCE = 32
"""How many streams are opened at the same time."""

Opened = Callable[[SourceVideo, Video | Live], Sound | None]
"""Told of each video that is read; gives what its sound goes to."""


def frames_of(
    sources: Sequence[SourceVideo],
    reading: SourceOptions,
    *,
    max_pixels: int,
    opened: Opened = lambda *_: None,
) -> Generator[Frame, None, None]:
    """The frames of a video, or of several streams: one of each that has another, in turn.

    None waits for a stream that is silent, and none ends with another. They are opened at the same time.

    Args:
        sources: What is read.
        reading: What may be read, and how.
        max_pixels: Larger frames are refused.
        opened: See `Opened`.

    Yields:
        Frames; for a source that cannot be opened a single one, which is broken.
    """
    with ExitStack() as stack:
        begun = partial(_open, reading=reading, max_pixels=max_pixels)
        if len(sources) == 1:
            videos = [begun(sources[0])]
        else:
            with ThreadPoolExecutor(min(len(sources), _AT_ONCE)) as executor:
                videos = list(executor.map(begun, sources))
        turns: dict[Iterator[Frame], Video | Live | None] = {}
        news = Condition()
        for source, video in zip(sources, videos, strict=True):
            if isinstance(video, ImageError):
                turns[iter([Frame(source.name, None, partial(broken, video.reason))])] = None
                continue
            stack.enter_context(video)
            sound = opened(source, video)
            if isinstance(video, Live):
                video.begin(reading.vid_stride, news)
            turns[video.frames(stride=reading.vid_stride, sound=sound)] = video
        yield from _in_turn(turns, news)


def _open(source: SourceVideo, *, reading: SourceOptions, max_pixels: int) -> Video | Live | ImageError:
    try:
        if source.address is None:
            return Video.of_file(source.path, max_pixels=max_pixels)
        return open_remote(source.address, reading, max_pixels=max_pixels)
    except ImageError as error:
        return error


def _in_turn(turns: dict[Iterator[Frame], Video | Live | None], news: Condition) -> Iterator[Frame]:
    while turns:
        with news:
            news.wait_for(lambda: any(map(_is_ready, turns.values())))
        for frames, video in list(turns.items()):
            if not _is_ready(video):
                continue
            frame = next(frames, None)
            if frame is None:
                del turns[frames]
            else:
                yield frame


def _is_ready(video: Video | Live | None) -> bool:
    return video.has_news if isinstance(video, Live) else True


def grouped(found: Iterable[Item]) -> Iterator[list[Item]]:
    """What is read at the same time: the streams of one list, and everything else alone."""
    for streams, items in groupby(found, lambda item: getattr(item, "streams", None)):
        if streams is None:
            yield from ([item] for item in items)
        else:
            yield list(items)
