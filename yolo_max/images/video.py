"""Videos: frames as displayed, one after another, and the packets of the sound beside them.

PyAV (FFmpeg) reads them. A video is as hostile as any other file: it is opened here, handed over as bytes,
and may make FFmpeg open nothing else (a playlist that is called ``.mp4`` names other files and addresses).
Pixels are limited before they are allocated, and a frame that is broken costs itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, Self

from yolo_max.images.decoded import Decoded, too_large
from yolo_max.images.display import display_matrix, is_turned
from yolo_max.images.frame import Frame, Position
from yolo_max.images.regular_file import regular_file
from yolo_max.images.suffixes import NEEDS_PYAV
from yolo_max.images.wire import STALL_SECONDS
from yolo_max.support.errors import ImageError
from yolo_max.support.text import first_line, visible

MAX_FRAME_PIXELS = 8192 * 4352
"""Of one frame: 8K. Several are worked on at once, and H.264 ends here too."""
USUAL_RATE = Fraction(30)
"""Frames per second of a video that does not say, as Ultralytics has it."""
_CLOSED = {
    "protocol_whitelist": "none",
    "codec_whitelist": "aac,aac_latm,ac3,eac3,dca,flac,mp2,mp2float,mp3,mp3float,opus,vorbis",
}
"""What FFmpeg may open besides what it is given, and what it may decode before it is asked to: sound, for
pictures of any size would be allocated."""

Sound = Callable[[Any], None]


class Video:
    """A video, opened; a context manager.

    Attributes:
        name: As the user named it.
        rate: Frames per second.
        time_base: The unit of its frames' times, in seconds.
        aspect: Width of a pixel by its height, as displayed, once there is a frame; 1 for nearly all.
        frames_about: How many frames it says it has; 0 if it does not say.
        sound: PyAV's stream of its sound; None without one.
    """

    def __init__(
        self,
        name: str,
        file: BinaryIO | str,
        *,
        max_pixels: int,
        format_name: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Opens a video and reads its headers.

        Args:
            name: For messages and records.
            file: Its bytes; seekable, unless it is a stream. It is closed with the video. Or an address that
                FFmpeg may connect to.
            max_pixels: Larger frames are refused; no more than `MAX_FRAME_PIXELS`.
            format_name: FFmpeg's name of its container; None to find out.
            options: Of FFmpeg, besides what it may open and decode.

        Raises:
            ImageError: It is not a video that can be read.
        """
        av = _pyav()
        is_stream = isinstance(file, str) or not file.seekable()
        self.name, self._file = name, file
        self._max_pixels = min(max_pixels, MAX_FRAME_PIXELS)
        try:
            self._container = av.open(
                *(file, "r", format_name),
                options={**_CLOSED, **(options or {})},
                buffer_size=1 << (12 if is_stream else 18),
                metadata_errors="replace",
                timeout=STALL_SECONDS if isinstance(file, str) else None,
            )
        except Exception as error:  # damaged data makes it raise anything
            if not isinstance(file, str):
                file.close()
            raise ImageError(f"it cannot be opened as a video ({_reason(error)})") from error
        try:
            self._stream = self._container.streams.best("video")
            if self._stream is None:
                raise ImageError("it has no pictures, only sound or data")
            if self._stream.codec_context is None:
                raise ImageError("its codec is not one that can be decoded here")
            context = self._stream.codec_context
            if context.width * context.height > self._max_pixels:
                raise ImageError(too_large(context.width, context.height, self._max_pixels))
            # Decoders round sides up to whole blocks.
            context.options = {"max_pixels": str(self._max_pixels * 5 // 4 + 2**16)}
            # Threads that decode a frame each hold back as many frames, which a stream cannot wait for.
            context.thread_type = "SLICE" if is_stream else "AUTO"
            self._read_headers()
        except BaseException:
            self.close()
            raise

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], *, max_pixels: int) -> Self:
        """Opens a video file; never waits on a pipe or a device.

        Raises:
            ImageError: It cannot be opened, or is not a video that can be read.
        """
        _pyav()
        return cls(os.fspath(path), regular_file(path), max_pixels=max_pixels)

    @classmethod
    def of_address(cls, name: str, address: str, options: Mapping[str, str], *, max_pixels: int) -> Self:
        """Opens a stream that FFmpeg itself connects to.

        Args:
            name: As the user named it.
            address: Where FFmpeg connects to.
            options: What it may do there.
            max_pixels: As for the video.

        Raises:
            ImageError: It cannot be reached, or is not a video that can be read.
        """
        _pyav()
        return cls(name, address, max_pixels=max_pixels, options=options)

    def _read_headers(self) -> None:
        stream = self._stream
        rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        self.rate = next((Fraction(each) for each in rates if each and 0 < each <= 1000), USUAL_RATE)
        base = Fraction(stream.time_base or 0)
        # Matroska has milliseconds, which hold hardly any rate.
        self._snaps = base if Fraction(1, 1000) <= base < 1 / self.rate else Fraction(0)
        usable = Fraction(1, 10**7) < base <= Fraction(1, 10) and not self._snaps
        self.time_base = base if usable else 1 / (self.rate * 1000)
        # Where its clock begins: sound and pictures share it.
        self.start = Fraction(self._container.start_time or 0, 1_000_000)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        self.aspect = aspect if Fraction(1, 20) < aspect < 20 else Fraction(1)
        self._turned: bool | None = None  # only frames say
        self.frames_about = max(stream.frames or 0, 0)
        if not self.frames_about and stream.duration and stream.time_base:
            self.frames_about = max(round(stream.duration * stream.time_base * self.rate), 0)
        self.frames_about = min(self.frames_about, 10**9)
        heard = (each for each in self._container.streams.audio if each.codec_context and each.rate)
        self.sound = next(heard, None)

    def frames(self, *, stride: int = 1, sound: Sound | None = None) -> Generator[Frame, None, None]:
        """Reads the video once, from its start to its end.

        Args:
            stride: Only every so many-th frame is given, the last of each group, as by Ultralytics.
            sound: Called with the packets of the sound as they come; without it they are passed over.

        Yields:
            Its frames in order; a broken one raises an `ImageError` when it is loaded. The last is marked.
        """
        held: Frame | None = None
        number = 0
        for index, picture, spent in self._pictures(sound):
            if (index + 1) % stride and not isinstance(picture, str):
                continue
            number += 1
            if held is not None:
                yield held
            held = self._frame(index, number, picture, spent)
        if held is None:
            held = self._frame(0, 1, "it has no frame that can be decoded", 0.0)
        assert held.position is not None
        yield Frame(held.source, replace(held.position, last=True), held.load, held.decode_ms)

    def as_they_come(self) -> Generator[Frame, None, None]:
        """Reads a stream until it ends; no frame waits for the next one, so none is marked as the last."""
        for index, picture, spent in self._pictures(None):
            yield self._frame(index, index + 1, picture, spent)

    def _frame(self, index: int, number: int, picture: Any, spent: float) -> Frame:
        if isinstance(picture, str):
            return Frame(self.name, Position(index, number), partial(broken, picture), spent)
        if self._turned is None:
            matrix = display_matrix(picture)
            self._turned = matrix is not None and is_turned(matrix)
            self.aspect = 1 / self.aspect if self._turned else self.aspect
        time = None
        if picture.pts is not None and picture.time_base:
            time = picture.pts * Fraction(picture.time_base) - self.start
            regular = round(time * self.rate) / self.rate
            time = regular if abs(time - regular) <= self._snaps else time
        return Frame(self.name, Position(index, number, time), Decoded(picture, self._max_pixels), spent)

    def _pictures(self, sound: Sound | None) -> Iterator[tuple[int, Any, float]]:
        """Decodes: the index of each frame, the frame or why there is none, and the milliseconds it took."""
        streams = [self._stream, *([self.sound] if sound and self.sound else [])]
        packets = self._container.demux(*streams)
        index, start = 0, perf_counter()
        while True:
            try:
                packet = next(packets, None)
            except Exception as error:
                yield index, _no_further(error), 0.0
                return
            if packet is None:
                return
            if sound is not None and self.sound is not None and packet.stream_index == self.sound.index:
                sound(packet)
                continue
            try:
                decoded: list[Any] = packet.decode()
            except Exception as error:
                if not _of_one_packet(error):
                    yield index, _no_further(error), 0.0
                    return
                decoded = [f"the frame cannot be decoded ({_reason(error)})"]
            for each in decoded:
                is_damaged = not isinstance(each, str) and each.is_corrupt
                yield (
                    index,
                    "the frame is damaged" if is_damaged else each,
                    (perf_counter() - start) * 1000 / len(decoded),
                )
                index += 1
            start = perf_counter()

    def close(self) -> None:
        """Closes it and its file."""
        self._container.close()
        if not isinstance(self._file, str):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def broken(reason: str) -> NoReturn:
    """Loads a frame that cannot be loaded."""
    raise ImageError(reason)


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImageError(NEEDS_PYAV) from error
    av.logging.set_level(None)  # what it has to say is raised too
    return av


def _reason(error: Exception) -> str:
    """What FFmpeg says, without its number and the name of what it was given."""
    said = getattr(error, "strerror", None)
    return visible(said) if isinstance(said, str) else first_line(error)


def _no_further(error: Exception) -> str:
    return f"the video cannot be read any further ({_reason(error)})"


def _of_one_packet(error: Exception) -> bool:
    import av

    return isinstance(error, av.FFmpegError) and not isinstance(error, av.EOFError | OSError)
