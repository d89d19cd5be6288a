"""Annotated videos as files: H.264, the times of the source's frames, and its sound as it was.

Frames are as displayed, so the file needs no rotation. They keep their times, so a video of variable rate, or
one of which some frames are left out, runs beside its sound as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import ImageError
from yolo_max.support.text import first_line

_H264 = {"qp": "20", "preset": "ultrafast"}
"""The network should not wait for the encoder: `veryfast` takes thrice the time for a third of the bytes. A
quantizer gives what `crf` of the same number gives in four fifths of its time."""
_BT709, _BT601, _LIMITED = 1, 6, 1
_MAX_SIDE = 16384
"""Of libx264."""
_MAX_QUEUED = 512
"""Packets of sound that may wait for the first picture."""


class VideoWriter:
    """One video, written as its frames come, on one thread."""

    def __init__(
        self,
        file: BinaryIO,
        container: str,
        *,
        rate: Fraction,
        time_base: Fraction,
        aspect: Callable[[], Fraction] = lambda: Fraction(1),
        start: Fraction = Fraction(0),
        sound: Any = None,
    ) -> None:
        """Begins a video.

        Args:
            file: Where to; seekable.
            container: FFmpeg's name of its format.
            rate: Frames per second.
            time_base: The unit of its frames' times, in seconds.
            aspect: Gives the width of a pixel by its height, as displayed; asked when there is a frame.
            start: What to subtract from the times of the sound, in seconds.
            sound: PyAV's stream of the sound whose packets will be added; None for a silent video.

        Raises:
            ImageError: It cannot be written.
        """
        import av

        self._rate, self._time_base, self._aspect, self._start = rate, time_base, aspect, start
        self._container = av.open(file, "w", format=container)
        with _told():
            # Both at once: the source may be closed before there is a frame, and its stream is gone then.
            self._stream = self._container.add_stream(_encoder(), rate=rate, options=dict(_H264))
            self._sound = self._copy_of(sound)
        self._has_begun = False
        self._waiting: list[Any] = []
        self._last = -1
        self._failed = False

    @staticmethod
    def prepare(image_bgr: NDArray[np.uint8]) -> Any:
        """Converts a frame for `write`; may run on any thread.

        Args:
            image_bgr: uint8 [H, W, 3] BGR.

        Returns:
            PyAV's frame, YUV 4:2:0 (BT.601), with sides made even by repeating the last row or column.
        """
        import av

        height, width = image_bgr.shape[:2]
        if height % 2 or width % 2:
            image_bgr = cv2.copyMakeBorder(image_bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        # OpenCV takes half the time of FFmpeg here, and knows this matrix alone.
        planes = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2YUV_I420)
        return av.VideoFrame.from_numpy_buffer(planes, format="yuv420p")

    def write(self, frame: Any, time: Fraction | None) -> None:
        """Adds a frame.

        Args:
            frame: From `prepare`. One of another size than the first is scaled to it.
            time: Seconds from the start; None to follow the frame before it.

        Raises:
            ImageError: It cannot be encoded.
        """
        if not self._has_begun:
            self._begin(frame.width, frame.height)
        step = max(round(1 / self._rate / self._time_base), 1)
        due = self._last + step if self._last >= 0 else 0
        # Times that run backwards are damage.
        self._last = max(due if time is None else round(time / self._time_base), self._last + 1, 0)
        with _told():
            if (frame.width, frame.height) != (self._stream.width, self._stream.height):
                frame = frame.reformat(width=self._stream.width, height=self._stream.height, threads=1)
            frame.pts, frame.time_base = self._last, self._time_base
            frame.pict_type = 0
            packets = self._stream.encode(frame)
        self._mux(packets)

    def add_sound(self, packet: Any) -> None:
        """Adds a packet of the source's sound, as it is."""
        if not self._has_begun:
            if len(self._waiting) < _MAX_QUEUED:
                self._waiting.append(packet)
        elif self._sound is not None and packet.dts is not None:
            shift = round(self._start / Fraction(packet.time_base))
            packet.pts = packet.dts - shift if packet.pts is None else packet.pts - shift
            packet.dts -= shift
            packet.stream = self._sound
            self._mux([packet])

    def close(self) -> None:
        """Ends the file; it can be played, whatever is missing of the source.

        Raises:
            ImageError: It has no frame, or cannot be ended.
        """
        try:
            if not self._has_begun:
                raise ImageError("there is no frame to put into it")
            with _told():
                packets = self._stream.encode(None)
            self._mux(packets)
        finally:
            self._container.close()

    def _begin(self, width: int, height: int) -> None:
        if max(width, height) > _MAX_SIDE:
            raise ImageError(
                f"its annotated video would be {width} x {height}, H.264 ends at sides of {_MAX_SIDE:,}"
            )
        stream = self._stream
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.colorspace = _BT601
        context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        if (aspect := self._aspect()) != 1:
            context.sample_aspect_ratio = aspect
        self._has_begun = True
        for packet in self._waiting:
            self.add_sound(packet)
        self._waiting.clear()

    def _copy_of(self, sound: Any) -> Any:
        """A stream for packets of such a sound; None if this format cannot hold them."""
        if sound is None or sound.codec_context is None:
            return None
        if sound.codec_context.name not in self._container.supported_codecs:
            return None
        return self._container.add_stream_from_template(sound)

    def _mux(self, packets: list[Any]) -> None:
        if self._failed:  # FFmpeg crashes if it goes on where no header could be written
            return
        self._failed = True
        with _told():
            self._container.mux(packets)
        self._failed = False


@contextmanager
def _told() -> Iterator[None]:
    """Tells what FFmpeg cannot do as an `ImageError`; what the disk cannot do stays an `OSError`."""
    import av

    try:
        yield
    except (av.FFmpegError, ValueError, OverflowError) as error:
        raise ImageError(f"its annotated video cannot be written ({first_line(error)})") from error


def _encoder() -> str:
    """H.264 if FFmpeg was built with it, else MPEG-4."""
    import av

    return "libx264" if "libx264" in av.codecs_available else "mpeg4"
