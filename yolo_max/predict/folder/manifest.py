"""The manifest of a run over many images: what the run is, and which of its images are done.

``run.json`` describes the run: the weights, and every option that a result depends on.
``predictions.jsonl`` is the manifest: one line of JSON per image, appended after all the image's files are in
place, so a line says that its image is done. A killed process loses no line. Lines are flushed to the disk in
batches, so a power cut costs the last seconds, which a resumed run does again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from yolo_max.predict.folder.output_tree import OutputTree
from yolo_max.predict.folder.previous_run import (
    Record,
    read_lines,
    read_run,
    remove_results,
    require_no_results,
)
from yolo_max.support.atomic import cannot_write
from yolo_max.support.errors import OutputError, UsageError
from yolo_max.support.result_names import MANIFEST_FILE, RUN_FILE

SYNC_SECONDS = 5.0


class Manifest:
    """The manifest of one run, locked for this process until it is closed.

    Attributes:
        tree: The output folder.
        path: ``predictions.jsonl`` in it.
        tables: The files of the run that belong to no single image, relative to that folder; includes those
            of the run that is resumed.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        weights_file: str | None = None,
        tables: Iterable[str] = (),
        planned: Iterable[str] = (),
        skipped: Sequence[Mapping[str, str]] = (),
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Begins a run in a folder, or resumes the one that it holds.

        Args:
            folder: Made if it does not exist.
            settings: What the results depend on, as plain JSON types.
            weights_file: The path of the weights, which a resumed run may find them by.
            tables: The files that belong to no single image, relative to the folder.
            planned: All other files that the run may write, relative to the folder.
            skipped: ``path`` and ``reason`` of anything found among the images that is not read.
            resume: Whether to resume the run that the folder holds, if it holds one.
            overwrite: Whether to remove the results of that run.

        Raises:
            OutputError: The folder cannot be written, another process writes there, or it holds results that
                may not be replaced.
            UsageError: The run to resume was begun with other settings.
        """
        self.tree = OutputTree(folder)
        self.path = folder / MANIFEST_FILE
        self._settings = json.loads(json.dumps(settings))
        self._weights_file = weights_file
        self._skipped = skipped
        self._synced = monotonic()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(self.path, flags, 0o666)
        except OSError as error:
            self.tree.close()
            raise cannot_write(self.path, error) from error
        try:
            self._lock()
            previous = read_run(folder) if resume else None
            if previous:
                self._require_same(previous.settings)
                tables, planned = {*tables, *previous.tables}, {*planned, *previous.planned}
            else:
                # Again, since another run may have come and gone while this process got ready.
                if not overwrite:
                    require_no_results(folder)
                remove_results(folder)
                # Before the settings change: no line of the previous run may pass for one of this run.
                os.ftruncate(self._file, 0)
            self.tables = tuple(sorted(tables))
            self._write_run(finished=False, planned=sorted(planned))
        except OSError as error:
            self.close()
            raise cannot_write(self.path, error) from error
        except BaseException:
            self.close()
            raise

    def resume(self, is_done: Callable[[Record], bool]) -> None:
        """Reads the previous process's lines and truncates the manifest before the first that is not done.

        That is a damaged line (the last one, after a crash) or one whose files did not survive. Its image and
        all that follow will be done again. A video is done when its last frame is, and those that were
        read in turn with it are.

        Args:
            is_done: Called with each record in order, up to the first for which it is false.

        Raises:
            OutputError: The manifest cannot be read or truncated.
        """
        end = 0
        begun: set[str] = set()  # videos; several streams are read in turn
        for record, after in read_lines(self.path.parent):
            if not is_done(record):
                break
            if "frame" in record and "last" not in record:
                begun.add(record["path"])
            else:
                begun.discard(record["path"])
            if not begun:
                end = after
        try:
            if end < os.fstat(self._file).st_size:
                os.ftruncate(self._file, end)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def records(self) -> Iterator[Record]:
        """Reads the manifest.

        Yields:
            The record of each line, up to the first damaged one.

        Raises:
            OutputError: It cannot be read.
        """
        return (record for record, _ in read_lines(self.path.parent))

    def append(self, record: Record) -> None:
        """Adds the whole line of an image whose files are all in place, or nothing.

        Raises:
            OutputError: It cannot be written, or it was moved or removed, or its folder.
        """
        try:
            self._write_whole(memoryview(encode_line(record)))
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._require_in_place()
        if monotonic() - self._synced > SYNC_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Waits until every line is on the disk.

        Raises:
            OutputError: The disk did not take them.
        """
        try:
            os.fsync(self._file)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._synced = monotonic()

    def finish(self) -> None:
        """Flushes, and marks the run as finished.

        Raises:
            OutputError: The disk did not take it, or it was moved or removed, or its folder.
        """
        self.flush()
        self._require_in_place()
        self._write_run(finished=True)

    def close(self) -> None:
        """Unlocks the folder, without waiting until all lines are on the disk."""
        self.tree.close()
        os.close(self._file)
        self._file = -1  # so that nothing is written to another file with this descriptor

    def _require_in_place(self) -> None:
        with suppress(OSError):
            if os.path.samestat(self.path.stat(), os.fstat(self._file)):
                return
        raise OutputError(
            f"{self.path} was moved or removed during the run; put it back and use --resume, or start again."
        )

    def _write_whole(self, line: memoryview) -> None:
        end = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError:
            with suppress(OSError):  # a full disk may have taken half of it
                os.ftruncate(self._file, end)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"another yolo-max is writing to {self.path.parent}; wait for it, or choose another folder "
                "with --out."
            ) from error
        except OSError:
            pass  # not every file system has locks

    def _require_same(self, previous: Mapping[str, Any]) -> None:
        differing = [
            f"{name} was {_shown(previous.get(name))} and is {_shown(self._settings.get(name))}"
            for name in sorted(previous.keys() | self._settings.keys())
            if previous.get(name) != self._settings.get(name)
        ]
        if differing:
            raise UsageError(
                f"the run in {self.path.parent} cannot be resumed with other settings: "
                f"{', '.join(differing)}; use the same, or another --out."
            )

    def _write_run(self, *, finished: bool, planned: Sequence[str] = ()) -> None:
        run = {
            "settings": self._settings,
            "weights_file": self._weights_file,
            "finished": finished,
            "skipped": self._skipped,
            "tables": self.tables,
        }
        if planned:
            run["planned"] = planned
        # On the disk before any line: without it, lines could not be resumed.
        self.tree.write(Path(RUN_FILE), encode_line(run, indent=2), sync=True)


def encode_line(record: Record, indent: int | None = None) -> bytes:
    """The line of a record."""
    # A file name that is not UTF-8 has come as lone surrogates; they leave as JSON's own \udcxx escapes.
    return json.dumps(record, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace") + b"\n"


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
