"""A run over many images: each is predicted, drawn, written and recorded.

An image's files are written on worker threads. Its record is appended on the caller's thread once they are in
place, so records are in order and the files that they name exist.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from yolo_max.images.frame import Frame, Position
from yolo_max.images.read import decode
from yolo_max.images.remote import fetch_image
from yolo_max.images.source import Found, Source, SourceFailure, SourceSkipped, SourceVideo
from yolo_max.images.together import grouped
from yolo_max.images.trial import find_crashes
from yolo_max.output.records import record
from yolo_max.output.tables import TABLES, require_tables, table
from yolo_max.predict.folder.crop_names import CropNames
from yolo_max.predict.folder.frames import VideoFrames
from yolo_max.predict.folder.in_flight import InFlight
from yolo_max.predict.folder.manifest import Manifest
from yolo_max.predict.folder.previous_run import Record, read_run
from yolo_max.predict.folder.saving import (
    is_done,
    save_result,
)
from yolo_max.predict.folder.targets import (
    remove_remnants,
    require_no_target_is_a_source,
    require_no_target_is_foreign,
    targets,
)
from yolo_max.predict.folder.totals import Totals
from yolo_max.predict.predictor import Predictor
from yolo_max.predict.result import Result
from yolo_max.support.options import SaveOptions, SourceOptions


class FolderRun:
    """A run over images into an output folder, which it locks; a context manager.

        with FolderRun(predictor, found, out, SaveOptions()) as run:
            for record in run.images():
                print(record["path"], record.get("boxes"))

    Attributes:
        total: How many images and videos the whole run has, with those done before that are no longer found.
        left: How many images and videos are not done yet.
        resumed: How many images and frames previous processes had done.
        read_before: How many of these they could read.
        totals: What was found so far, by previous processes too.
        finished: Whether every image is done.
        skipped: What was found and is not read.
        max_det: How many things may be found in an image; None if all are.
    """

    def __init__(
        self,
        predictor: Predictor,
        found: Iterable[Found],
        out: Path,
        saving: SaveOptions,
        *,
        reading: SourceOptions | None = None,
        settings: Mapping[str, Any] | None = None,
        tables: Iterable[str] = (),
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Begins the run, or resumes it where a previous process stopped.

        Args:
            predictor: Predicts what is in the images.
            found: What `yolo_max.images.sources.find_images` found, with ``out`` excluded.
            out: The output folder, made if it does not exist.
            saving: What is written into it.
            reading: How videos are read.
            settings: What the results depend on, besides the predictor's options and ``saving``.
            tables: Further files of the run that belong to no single image, relative to ``out``.
            resume: Whether to resume the run that the folder holds; the settings must be the same.
            overwrite: Whether to remove the results of the run that the folder holds, and no other files.

        Raises:
            OutputError: The folder cannot be written, another process writes there, or it holds files that
                may not be replaced.
            UsageError: A source would be overwritten, or the run to resume had other settings.
        """
        found, reading = list(found), reading or SourceOptions()
        sources = [item for item in found if isinstance(item, Source)]
        self._sources = {source.name: source for source in sources}
        self._failures = [item for item in found if isinstance(item, SourceFailure)]
        self.skipped = [item for item in found if isinstance(item, SourceSkipped)]
        if saving.save:
            require_no_target_is_a_source(sources, out)
        self._crops = CropNames(sources)
        planned = [str(place) for place in targets(sources, self._crops, saving)]
        tables = [*tables, *saving.tables]
        require_tables(saving.tables, predictor.task)
        if resume and read_run(out):
            require_no_target_is_foreign(tables, out)  # of the others, records may have been lost
        elif overwrite:
            require_no_target_is_foreign([*planned, *tables], out)
        self._predictor = predictor
        self.max_det = predictor.decoder.limit
        self._out = out
        self._saving = saving
        self._reading = reading
        self._done: set[str] = set()
        # The totals at the first frame of videos that are not whole, these, and those done since.
        self._before_videos: Totals | None = None
        self._unfinished: set[str] = set()
        self._done_since: set[str] = set()
        self.totals = Totals(predictor.task, tracks=set() if reading.tracker else None)
        self.finished = False
        self._records: Generator[Record, None, None] | None = None
        written = asdict(reading) | asdict(saving)
        del written["allow_remote"], written["allow_private"]
        for name in ("save_csv", "save_json", "save_parquet"):
            del written[name]  # these are made from the manifest
        self._manifest = Manifest(
            out,
            {**predictor.settings(), **written, **(settings or {})},
            weights_file=str(predictor.weights.path.absolute()),
            tables=tables,
            planned=planned,
            skipped=[{"path": str(item.path), "reason": item.reason} for item in self.skipped],
            resume=resume,
            overwrite=overwrite,
        )
        try:
            cropped = predictor.names.values() if saving.save_crop else ()
            remove_remnants(sources, out, self._crops, cropped)
            self._manifest.resume(self._recall)
            self._forget_unfinished()
            self._in_flight = InFlight(out)
        except BaseException:
            self._manifest.close()
            raise
        self._videos = VideoFrames(
            self._manifest.tree if saving.save else None,
            max_pixels=predictor.options.max_pixels,
            reading=reading,
        )
        to_do = {*self._sources, *(str(failure.path) for failure in self._failures)} - self._done
        self.total = len(self._done) + len(to_do)
        self.left = len(to_do)
        self._frames = 0  # of videos, without the last of each
        self.resumed = self.totals.images
        self.read_before = self.totals.read

    def images(self, *, stop: Callable[[], bool] = lambda: False) -> Generator[Record, None, None]:
        """Does the images that are left.

        Args:
            stop: Called before each image; once it is true, the images in flight are finished and no other is
                begun.

        Yields:
            The record of each image, in order, once it is in the manifest.

        Raises:
            OutputError: A result cannot be written.
        """
        self._records = self._run(stop)
        return self._records

    def records(self) -> Iterator[Record]:
        """The record of each image that is done, by previous processes too; see `Manifest.records`."""
        return self._manifest.records()

    @property
    def expected(self) -> int:
        """How many images and frames the whole run will have, as far as is known."""
        return self.totals.images + self.left + max(self._videos.expected - self._frames, 0)

    def _run(self, stop: Callable[[], bool]) -> Generator[Record, None, None]:
        for failure in self._failures:
            if str(failure.path) not in self._done:
                yield self._note(record(str(failure.path), error=failure.reason))
        left = dict.fromkeys(path for path in self._sources if path not in self._done)
        # One of them may have crashed a previous process.
        suspects = [path for path in self._in_flight.suspects if path in left]
        for path, reason in find_crashes(suspects, max_pixels=self._predictor.options.max_pixels).items():
            del left[path]
            yield self._note(record(path, error=reason))
        with closing(self._predict(left, stop)) as predicted:
            for each in predicted:
                yield self._note(each)
        self._manifest.flush()
        for name in TABLES:
            if name in self._manifest.tables:  # the previous process may have asked for others
                self._write_table(name)
        if not self.left:
            self._manifest.finish()
            self.finished = True

    def _predict(self, paths: Iterable[str], stop: Callable[[], bool]) -> Generator[Record, None, None]:
        """The record of each image or frame, in order, once its files are in place."""
        stream = self._predictor.map(
            *(self._write, self._begun(paths, stop)),
            keep_images=self._saving.needs_images,
            tracker=self._reading.tracker,
        )
        try:
            with closing(stream) as written:
                for each, drawn, position in written:
                    yield self._videos.write(each, drawn, position)
        finally:
            self._videos.close()

    def _write_table(self, name: str) -> None:
        task, names, tracked = self._predictor.task, self._predictor.names, self._reading.tracker is not None
        data = table(name, task, names, self._manifest.records, tracked=tracked)
        self._manifest.tree.write(Path(name), data)

    def _begun(self, paths: Iterable[str], stop: Callable[[], bool]) -> Iterator[str | Frame]:
        max_pixels = self._predictor.options.max_pixels
        for group in takewhile(lambda _: not stop(), grouped(self._sources[path] for path in paths)):
            for each in group:
                self._in_flight.begin(each.name)
            source, path = group[0], group[0].name
            if isinstance(source, SourceVideo):
                videos = [each for each in group if isinstance(each, SourceVideo)]
                yield from self._videos.read(videos, stop)
            elif source.data is not None:
                yield Frame(path, None, partial(decode, source.data, max_pixels=max_pixels))
            elif source.address is not None:
                private = self._reading.allow_private
                load = partial(fetch_image, source.address, private=private, max_pixels=max_pixels)
                yield Frame(path, None, load)
            else:
                yield path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._records is not None:
                self._records.close()  # nothing is written once the folder is unlocked
        finally:
            self._in_flight.close()
            self._manifest.close()

    def _recall(self, record: Record) -> bool:
        """Counts a record of a previous process; False if its image has to be done again."""
        path, names = record["path"], self._predictor.weights.meta.names
        unfinished = "frame" in record and "last" not in record
        if path in self._done or not is_done(record, self._out, self._predictor.task, names):
            return False
        if unfinished and not self._unfinished:
            self._before_videos = copy.deepcopy(self.totals)
        self.totals.add(record)
        if unfinished:
            self._unfinished.add(path)
            return True
        self._done.add(path)
        self._done_since.add(path)
        self._unfinished.discard(path)
        if not self._unfinished:
            self._before_videos = None
            self._done_since.clear()
        return True

    def _forget_unfinished(self) -> None:
        """Leaves out the frames of videos that a previous process did not finish, and those among them."""
        if self._before_videos is not None:
            self.totals = self._before_videos
            self._done -= self._done_since

    def _write(self, result: Result) -> tuple[Record, Any, Position | None]:
        source = self._sources[str(result.source)]
        return *save_result(result, source, self._manifest.tree, self._saving, self._crops), result.frame

    def _note(self, record: Record) -> Record:
        self._manifest.append(record)
        self.totals.add(record)
        if "frame" not in record or "last" in record:
            self.left -= 1
        else:
            self._frames += 1
        return record
