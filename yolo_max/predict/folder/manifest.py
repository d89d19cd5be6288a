"""The output folder of a run over many images: what the run is, and which of its images are done.

``run.json`` says what the run is: the weights, and every option that a result depends on.
``predictions.jsonl`` is the manifest: one line of JSON per image, appended after everything else that belongs
to the image is in its place, so a line says that its image is done. A killed process loses no line; lines are
flushed to the disk in batches, so a power cut costs the last seconds, which a resumed run does again.
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

from yolo_max.predict.folder.earlier import Record, read_lines, read_run, remove_results, require_no_results
from yolo_max.support.atomic import cannot_write, write_atomically
from yolo_max.support.errors import OutputError, UsageError
from yolo_max.support.result_names import MANIFEST_FILE, RUN_FILE

SYNC_SECONDS = 5.0


class Manifest:
    """The manifest of one run, held by this process alone until it is closed.

    Attributes:
        path: ``predictions.jsonl`` in the output folder.
        tables: The files of the run that belong to no single image, relative to that folder; those of a run
            that is taken up are among them.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        tables: Iterable[str] = (),
        planned: Iterable[str] = (),
        skipped: Sequence[Mapping[str, str]] = (),
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Begins a run in a folder, or takes its run up again.

        Args:
            folder: Made where it does not exist.
            settings: What the results depend on, in plain JSON types.
            tables: The files that will belong to no single image, relative to the folder.
            planned: All other files that the run may write, likewise.
            skipped: ``path`` and ``reason`` of what was found among the images and is not read.
            resume: Whether to go on with the run that the folder holds, if it holds one.
            overwrite: Whether to remove the results of that run.

        Raises:
            OutputError: The folder cannot be written, another process writes there, or there is something
                that nobody allowed to replace.
            UsageError: The run to resume was begun with other settings.
        """
        self.path = folder / MANIFEST_FILE
        self._run_file = folder / RUN_FILE
        self._settings = json.loads(json.dumps(settings))
        self._skipped = skipped
        self._synced = monotonic()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            self._lock()
            earlier = read_run(folder) if resume else None
            if earlier:
                self._require_same(earlier.settings)
                tables, planned = {*tables, *earlier.tables}, {*planned, *earlier.planned}
            else:
                # Once more, since a run may have begun and ended here while this process got ready.
                if not overwrite:
                    require_no_results(folder)
                remove_results(folder)
                # Before the settings change: no line of an earlier run may pass for one of this.
                os.ftruncate(self._file, 0)
            self.tables = tuple(sorted(tables))
            self._write_run(finished=False, planned=sorted(planned))
        except OSError as error:
            os.close(self._file)
            raise cannot_write(self.path, error) from error
        except BaseException:
            os.close(self._file)
            raise

    def take_up(self, is_done: Callable[[Record], bool]) -> None:
        """Goes through the lines that are there and cuts the manifest off before the first that is not done.

        That is a line that is not whole, the last one after a crash; or one whose image is not done after
        all, since its files did not survive. It and all that follow will be done again.

        Args:
            is_done: Called with each record in order, up to the first for which it is false.

        Raises:
            OutputError: The manifest cannot be read or cut.
        """
        end = 0
        for record, after in read_lines(self.path.parent):
            if not is_done(record):
                break
            end = after
        try:
            if end < os.fstat(self._file).st_size:
                os.ftruncate(self._file, end)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def records(self) -> Iterator[Record]:
        """Reads what the manifest holds.

        Yields:
            The record of each line, up to the first that is not whole.

        Raises:
            OutputError: It cannot be read.
        """
        return (record for record, _ in read_lines(self.path.parent))

    def append(self, record: Record) -> None:
        """Adds the line of an image whose results are all in place, or nothing at all.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            self._write_whole(memoryview(_encode(record)))
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if monotonic() - self._synced > SYNC_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Waits until the disk has every line.

        Raises:
            OutputError: It did not take them.
        """
        try:
            os.fsync(self._file)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._synced = monotonic()

    def finish(self) -> None:
        """Flushes, and notes that every image is done.

        Raises:
            OutputError: The disk did not take it.
        """
        self.flush()
        self._write_run(finished=True)

    def close(self) -> None:
        """Lets go of the folder; lines that are there stay, though the disk may not have them yet."""
        os.close(self._file)
        self._file = -1  # so that nothing is written to another file that gets this number

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

    def _require_same(self, earlier: Mapping[str, Any]) -> None:
        differing = [
            f"{name} was {_shown(earlier.get(name))} and is {_shown(self._settings.get(name))}"
            for name in sorted(earlier.keys() | self._settings.keys())
            if earlier.get(name) != self._settings.get(name)
        ]
        if differing:
            raise UsageError(
                f"the run in {self.path.parent} cannot be resumed, as its results would not fit together: "
                f"{', '.join(differing)}; take the same again, or another --out."
            )

    def _write_run(self, *, finished: bool, planned: Sequence[str] = ()) -> None:
        run = {
            "settings": self._settings,
            "finished": finished,
            "skipped": self._skipped,
            "tables": self.tables,
        }
        if planned:
            run["planned"] = planned
        # On the disk before any line is: without it, those lines could not be taken up.
        write_atomically(self._run_file, _encode(run, indent=2), sync=True)


def _encode(record: Record, indent: int | None = None) -> bytes:
    # A file name that is not UTF-8 has come as lone surrogates; they leave as JSON's own \udcxx escapes.
    return json.dumps(record, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace") + b"\n"


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
