"""Images, videos and streams on the network, and webcams, as frames."""

from __future__ import annotations

import io
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from time import monotonic
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.images import addresses
from yolo_max.images.frame import Frame, Position
from yolo_max.images.read import decode
from yolo_max.images.rtsp import OPTIONS, relayed
from yolo_max.images.suffixes import VIDEO_SUFFIXES
from yolo_max.images.video import USUAL_RATE, Sound, Video, broken
from yolo_max.images.wire import STALL_SECONDS
from yolo_max.support.errors import ImageError
from yolo_max.support.options import SourceOptions
from yolo_max.support.text import first_line

KEPT = 30
"""How many frames of a stream wait at most with ``stream_buffer``, as in Ultralytics."""
THREAD = "yolo-max-stream"
ENDED = "the stream ended, or its connection was lost"


def fetch_image(address: str, *, private: bool, max_pixels: int) -> NDArray[np.uint8]:
    """Reads an image from the network.

    Args:
        address: Of http or https.
        private: Whether it may be a private address.
        max_pixels: Larger images are refused.

    Returns:
        uint8 [H, W, 3] BGR, as displayed.

    Raises:
        ImageError: It is not given, or is not an image.
    """
    with addresses.request(
        address, private=private, max_bytes=addresses.MAX_IMAGE_BYTES, seconds=addresses.IMAGE_SECONDS
    ) as response:
        return decode(response.read(), max_pixels=max_pixels)


def open_remote(address: str, reading: SourceOptions, *, max_pixels: int) -> Video | Live:
    """Opens a webcam, or a video or stream on the network.

    A file is fetched first, so that it can be read in any order; anything else is a stream.

    Args:
        address: As a user gives it; a number for a webcam.
        reading: What may be read, and how.
        max_pixels: Larger frames are refused.

    Raises:
        ImageError: It cannot be reached, or is not a video.
    """
    if not addresses.is_address(address):
        return Live(address, _Webcam(address, int(address)), buffer=reading.stream_buffer)
    if addresses.split(address).scheme == "rtsp":
        relay = relayed(address, private=reading.allow_private)
        try:
            video = Video.of_address(address, relay.address, OPTIONS, max_pixels=max_pixels)
        except ImageError as error:
            relay.close()
            raise ImageError(relay.reason or error.reason) from error
        return Live(address, video, buffer=reading.stream_buffer, interrupt=relay.close)
    is_file = addresses.suffix_of(address) in VIDEO_SUFFIXES
    response = addresses.request(
        address,
        private=reading.allow_private,
        max_bytes=addresses.MAX_VIDEO_BYTES,
        seconds=addresses.VIDEO_SECONDS if is_file else addresses.IMAGE_SECONDS,
    )
    if is_file:
        return Video(address, _fetched(response), max_pixels=max_pixels)
    is_jpegs = response.kind == "multipart/x-mixed-replace"
    stream = io.BufferedReader(response, 2**16)
    video = Video(
        address,
        stream,
        max_pixels=max_pixels,
        format_name="mpjpeg" if is_jpegs else None,
        # FFmpeg would read seconds of JPEGs to find out what it may not decode before it is asked to.
        options={"probesize": "32"} if is_jpegs else None,
    )
    response.go_on()
    return Live(address, video, buffer=reading.stream_buffer, interrupt=response.interrupt)


def _fetched(response: addresses.Response) -> BinaryIO:
    """All that a server sends, as a file without a name."""
    with response:
        file = tempfile.TemporaryFile()  # noqa: SIM115  (whoever reads it closes it)
        try:
            while piece := response.read(2**20):
                file.write(piece)
            file.seek(0)
        except BaseException:
            file.close()
            raise
    return file


class _Webcam:
    """A webcam, as OpenCV reads it."""

    def __init__(self, name: str, index: int) -> None:
        """Opens it.

        Raises:
            ImageError: There is none of this number.
        """
        import cv2

        self.name, self._capture = name, cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise ImageError("there is no webcam of this number, or another program uses it")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(rate).limit_denominator(1001) if 1 <= rate <= 1000 else USUAL_RATE
        self.time_base = Fraction(1, 1000)
        self.aspect, self.start = Fraction(1), Fraction(0)

    def as_they_come(self) -> Iterator[Frame]:
        """Its frames, until it is gone."""
        start, index = monotonic(), 0
        while True:
            there, pixels = self._capture.read()
            if not there:
                return
            time = Fraction(round((monotonic() - start) * 1000), 1000)
            yield Frame(self.name, Position(index, index + 1, time), partial(_same, pixels))
            index += 1

    def close(self) -> None:
        """Frees it."""
        self._capture.release()


class Live:
    """A stream or webcam, read on a thread of its own; a context manager. Its sound is left out.

    Attributes:
        rate: Frames per second.
        time_base: The unit of its frames' times, in seconds.
        aspect: Width of a pixel by its height.
        start: Where its clock begins, in seconds.
        frames_about: 0: it does not say how many frames will come.
        sound: None.
    """

    frames_about = 0
    sound = None

    def __init__(
        self,
        name: str,
        source: Video | _Webcam,
        *,
        buffer: bool,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes an opened source.

        Args:
            name: As the user named it.
            source: It is closed with this.
            buffer: Whether frames wait until they are asked for, `KEPT` of them at most; else only the latest
                does, and the others are left out.
            interrupt: Ends a read of the source that is under way; by default it is waited for.
        """
        self._name, self._source = name, source
        self.rate, self.time_base = source.rate, source.time_base
        self.aspect, self.start = source.aspect, source.start
        self._stopped = threading.Event()
        self._waiting: deque[Frame] = deque()
        self._most = KEPT if buffer else 1
        self._buffer = buffer
        self._changed = threading.Condition()
        self._ended: str | None = None
        self._interrupt = interrupt
        self._thread: threading.Thread | None = None

    def begin(self, stride: int, changed: threading.Condition) -> None:
        """Begins to read, before `frames` does.

        Args:
            stride: As for `frames`.
            changed: Is notified of each frame.
        """
        self._changed = changed
        self._thread = threading.Thread(target=self._read, args=(stride,), name=THREAD, daemon=True)
        self._thread.start()

    @property
    def has_news(self) -> bool:
        """Whether `frames` has something to give at once."""
        return bool(self._waiting) or self._ended is not None

    def frames(self, *, stride: int = 1, sound: Sound | None = None) -> Generator[Frame, None, None]:  # noqa: ARG002
        """Reads it until it ends.

        Args:
            stride: Of so many frames one is given.
            sound: Not called.

        Yields:
            Frames; the last one is broken, and says why there are no more.
        """
        if self._thread is None:
            self.begin(stride, self._changed)
        number, index = 0, -1
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.has_news)
                frame = self._waiting.popleft() if self._waiting else None
                is_newest = not (self._buffer and self._waiting)
                self._changed.notify_all()
            number += 1
            if frame is None:
                reason = self._ended or ENDED
                position = Position(index + 1, number, last=True, live=True)
                yield Frame(self._name, position, partial(broken, reason))
                return
            assert frame.position is not None
            index = frame.position.index
            position = replace(frame.position, number=number, last=False, live=is_newest)
            yield replace(frame, position=position)

    def _read(self, stride: int) -> None:
        reason = ENDED
        try:
            with closing(self._source.as_they_come()) as frames:  # type: ignore[type-var]
                for i, frame in enumerate(frames):
                    if (i + 1) % stride == 0:
                        self._keep(frame)
                    if self._stopped.is_set():
                        return
        except Exception as error:  # whatever it is, the stream is over
            reason = first_line(error)
        finally:
            with self._changed:
                self._ended = reason
                self._changed.notify_all()

    def _keep(self, frame: Frame) -> None:
        with self._changed:
            if self._buffer:
                self._changed.wait_for(lambda: len(self._waiting) < self._most or self._stopped.is_set())
            elif self._waiting:
                self._waiting.popleft()
            self._waiting.append(frame)
            self._changed.notify_all()

    def close(self) -> None:
        """Closes it, once its thread is done with it."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._interrupt()
            self._thread.join(STALL_SECONDS + 1)
            if self._thread.is_alive():
                return
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _same(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels
