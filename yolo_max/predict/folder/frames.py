"""The frames of a video in a run: read, and put together again as an annotated video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from yolo_max.images.frame import Frame, Position
from yolo_max.images.remote import Live
from yolo_max.images.source import SourceVideo
from yolo_max.images.together import frames_of
from yolo_max.images.video import Sound, Video
from yolo_max.output.video import VideoWriter
from yolo_max.predict.folder.output_tree import OutputTree, PartialFile, of_one_path
from yolo_max.predict.folder.previous_run import Record
from yolo_max.support.atomic import cannot_write
from yolo_max.support.errors import ImageError, OutputError
from yolo_max.support.options import SourceOptions
from yolo_max.support.result_names import VIDEO_FORMATS

_UNWRITTEN = "its annotated video cannot be written"


class AnnotatedVideo:
    """The annotated video of one source, written beside its place until it is whole."""

    def __init__(self, tree: OutputTree, place: Path, video: Video | Live) -> None:
        """Begins it.

        Raises:
            OutputError: It cannot be created, nor could another.
        """
        self.place, self._path = place, tree.root / place
        self._error: ImageError | None = None
        self._file: PartialFile | None = None
        self._writer: VideoWriter | None = None
        with self._contained():
            self._file = tree.create(place)
            self._writer = VideoWriter(
                self._file,
                VIDEO_FORMATS[place.suffix.lower()],
                rate=video.rate,
                time_base=video.time_base,
                aspect=lambda: video.aspect,
                start=video.start,
                sound=video.sound,
            )

    def add(self, frame: Any, position: Position) -> None:
        """Adds a frame as `VideoWriter.prepare` made it."""
        if self._writer is not None and self._error is None:
            with self._contained():
                self._writer.write(frame, position.time)

    def add_sound(self, packet: Any) -> None:
        """Adds a packet of the sound."""
        if self._writer is not None and self._error is None:
            with self._contained():
                self._writer.add_sound(packet)

    def finish(self) -> str | None:
        """Ends it and puts it in its place, be it whole or not.

        Returns:
            Why there is no such file; None if there is one.

        Raises:
            OutputError: The disk did not take it.
        """
        if self._file is not None:
            try:
                if self._writer is not None:
                    with self._contained() if self._error is None else suppress(Exception):
                        self._writer.close()
                if self._error is None:
                    with self._contained():
                        self._file.commit()
            finally:
                self._file.discard()
        return None if self._error is None else self._error.reason

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """Keeps what goes wrong with this video alone, after which nothing more is written of it.

        Raises:
            OutputError: The disk did not take it, which would meet other files too.
        """
        try:
            yield
        except ImageError as error:
            self._error = error
        except OutputError as error:
            self._error = of_one_path(self.place, error)
            if self._error is None:
                self._error = ImageError(_UNWRITTEN)
                raise
        except OSError as error:
            self._error = ImageError(_UNWRITTEN)
            raise cannot_write(self._path, error) from error


class VideoFrames:
    """The videos of a run: the frames of each, one after another, and what is written of them.

    Args:
        tree: The output folder; None where no annotated videos are written.
        max_pixels: Larger frames are refused.
        reading: What may be read, and how.
    """

    def __init__(self, tree: OutputTree | None, *, max_pixels: int, reading: SourceOptions) -> None:
        self._tree, self._max_pixels, self._reading = tree, max_pixels, reading
        self._open: dict[str, AnnotatedVideo] = {}
        self.expected = 0
        """How many frames the videos that were opened have, as they say, less one for each of them."""

    def read(self, sources: Sequence[SourceVideo], stop: Callable[[], bool]) -> Iterator[Frame]:
        """The frames of a video, or of streams in turn; none that begins once ``stop`` is true."""
        frames = frames_of(sources, self._reading, max_pixels=self._max_pixels, opened=self._opened)
        with closing(frames):
            yield from takewhile(lambda _: not stop(), frames)

    def _opened(self, source: SourceVideo, video: Video | Live) -> Sound | None:
        self.expected += max(video.frames_about // self._reading.vid_stride - 1, 0)
        if self._tree is None:
            return None
        written = AnnotatedVideo(self._tree, source.annotated, video)
        self._open[source.name] = written
        return written.add_sound

    def write(self, record: Record, drawn: Any, position: Position | None) -> Record:
        """Adds a frame to its video; the record of the last one says what became of the video.

        Args:
            record: Of the frame.
            drawn: The frame as `VideoWriter.prepare` made it; None for one that is left out.
            position: Where it is in its video.
        """
        written = self._open.get(record["path"])
        if written is None or position is None:
            return record
        if drawn is not None:
            written.add(drawn, position)
        if not position.last:
            return record
        del self._open[record["path"]]
        reason = written.finish()
        return {**record, **({"video": str(written.place)} if reason is None else {"video_error": reason})}

    def close(self) -> None:
        """Ends the videos that are not whole, so that what there is can be played."""
        for written in self._open.values():
            with suppress(OutputError):
                written.finish()
        self._open.clear()
