"""What Ray Data runs, one shard after another: read ahead ──► predict.

    read_ahead  tasks, where images are in buckets: their bytes, as far as a shard may take the object store
    Predict     actors with a warm engine: read, decode, letterbox, network, draw, write; a picture's pixels
                stay in them, and tasks that read files or write would need a process, which takes a second
                or two of a CPU to start

A row is a shard, so nothing that Ray Data does to blocks cuts one. Every file is put in its place whole and
under a name that its image or shard decides: what a killed worker had done is done again, to the same files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_max.images.header import SIGNATURE_BYTES
from yolo_max.ray.attempts import Attempts
from yolo_max.ray.buckets import is_bucket, read_object
from yolo_max.ray.shards import Item, encode_shard, from_text, shard_name
from yolo_max.support.errors import ImageError, YoloMaxError
from yolo_max.support.options import SaveOptions, SourceOptions

if TYPE_CHECKING:
    import ray as ray_package

    from yolo_max.images.frame import Frame
    from yolo_max.predict.folder.crop_names import CropNames
    from yolo_max.ray.setup import Setup
    from yolo_max.tasks.task import Task

AHEAD_BYTES, MAX_FILE = 32 * 2**20, 8 * 2**20
"""What a shard has in the object store, but for a last few files, and the largest of these: further and
larger ones are read by the worker that predicts."""
READERS = 8
"""Files that a task reads at once: an object store takes its time to answer."""
WAITING = 2
"""Shards that wait for a worker or are worked on."""
RESTARTS = 30
"""Of a worker, and for a shard: what ends more of them ends the run."""
Row = dict[str, Any]


def read_ahead(row: Row) -> Row:
    """Adds ``files``, the bytes of each object; None for an image that the worker reads itself."""
    items = from_text(row["items"])
    left, files = AHEAD_BYTES, list[bytes | None]()
    with ThreadPoolExecutor(READERS) as threads:
        for start in range(0, len(items), READERS):
            read = partial(_read, limit=min(left, MAX_FILE))
            several = threads.map(read, items[start : start + READERS]) if left > 0 else ()
            files += several
            left -= sum(len(data or b"") for data in files[start:])
    return {**row, "files": files + [None] * (len(items) - len(files))}


class Predict:
    """Predicts what is in the images of shards; an actor, made once."""

    def __init__(
        self,
        setup: ray_package.ObjectRef[Setup],
        crops: ray_package.ObjectRef[CropNames],
        out: str,
        saving: SaveOptions,
        reading: SourceOptions,
        kind: str,
    ) -> None:
        """Loads the network.

        Args:
            setup: What it is made of.
            crops: Where crops go.
            out: The output folder, which all nodes have.
            saving: What is written for each image.
            reading: What may be read.
            kind: The format of shards.
        """
        import ray

        self._crops = ray.get(crops)
        self._error: YoloMaxError | None = None
        try:
            self._predictor = ray.get(setup).predictor()
        except YoloMaxError as error:
            self._error = error  # raised by a call: of one that is raised here Ray keeps the text alone
        self._out, self._saving, self._reading, self._kind = Path(out), saving, reading, kind
        # The shards that a killed worker had, one of which may have been the reason, come first.
        self._suspected = WAITING if ray.get_runtime_context().was_current_actor_reconstructed else 0

    def __call__(self, row: Row) -> Row:
        """Writes the file of a shard, and leaves its number."""
        from yolo_max.predict.folder.manifest import encode_line

        if self._error is not None:
            raise self._error
        items = from_text(row["items"])
        records = self._records(row["shard"], items, row.get("files", [None] * len(items)))
        lines = b"".join(encode_line(each) for each in records)
        write_shard(row["shard"], lines, self._out, self._kind, self._predictor.task)
        return {"shard": row["shard"]}

    def _records(
        self, shard: int, items: Sequence[Item], files: Sequence[bytes | None]
    ) -> list[Mapping[str, Any]]:
        from yolo_max.output.records import record
        from yolo_max.predict.folder.output_tree import OutputTree
        from yolo_max.predict.folder.saving import save_result

        reasons: dict[int, str] = {}
        attempts: Attempts | None = None
        if self._suspected:
            self._suspected -= 1
            attempts = Attempts(self._out, shard)
            reasons = attempts.crashes() | _find_crashes(items, files, self._predictor.options.max_pixels)
        begun: dict[object, Item] = {}
        tree = OutputTree(self._out)

        def source(number: int) -> Any:
            found = files[number] or self._source(items[number])
            begun[_key(found)] = items[number]
            return found

        def write(result: Any) -> Mapping[str, Any]:
            item = begun[_key(result.source)]
            return save_result(result, item.source, tree, self._saving, self._crops)[0]

        def predicted(numbers: Iterable[int]) -> Iterator[Mapping[str, Any]]:
            keep = self._saving.needs_images
            yield from self._predictor.map(write, map(source, numbers), keep_images=keep)

        left = [number for number in range(len(items)) if number not in reasons]
        try:
            done = predicted(left) if attempts is None else attempts.one_by_one(predicted, left)
            return [
                record(item.source.name, error=reasons[number]) if number in reasons else next(done)
                for number, item in enumerate(items)
            ]
        finally:
            tree.close()

    def _source(self, item: Item) -> str | bytes | Frame:
        """What the predictor reads an image from."""
        from yolo_max.images.frame import Frame
        from yolo_max.images.remote import fetch_image
        from yolo_max.images.video import broken

        if not item.address:
            return item.place
        if not is_bucket(item.address):
            private, limit = self._reading.allow_private, self._predictor.options.max_pixels
            load = partial(fetch_image, item.address, private=private, max_pixels=limit)
            return Frame(item.address, None, load)
        try:
            return read_object(item.address)
        except ImageError as error:
            return Frame(item.address, None, partial(broken, error.reason))


def write_shard(shard: int, lines: bytes, out: Path, kind: str, task: Task) -> None:
    """Writes the file of a shard: the manifest's lines of its images, in a format of `encode_shard`."""
    from yolo_max.predict.folder.output_tree import OutputTree

    tree = OutputTree(out)
    try:
        tree.write(shard_name(shard, kind), encode_shard(lines, kind, task), sync=True)
    finally:
        tree.close()


def _key(source: object) -> object:
    return id(source) if isinstance(source, bytes) else getattr(source, "source", source)


def _read(item: Item, *, limit: int) -> bytes | None:
    """The bytes of an object, if it has at most so many and nothing is wrong; too few are no image's."""
    if not is_bucket(item.address):
        return None
    try:
        data = read_object(item.address, limit)
    except (ImageError, OSError):
        return None
    return data if len(data) >= SIGNATURE_BYTES else None


def _find_crashes(items: Sequence[Item], files: Sequence[bytes | None], max_pixels: int) -> dict[int, str]:
    """The images of a shard that kill the process that decodes them, by number, and how."""
    from yolo_max.images.trial import find_crashes

    with tempfile.TemporaryDirectory(prefix="yolo_max_") as folder:
        places = {}
        for number, (item, data) in enumerate(zip(items, files, strict=True)):
            if item.place:
                places[item.place] = number
            elif data:
                copy = Path(folder, f"{number}{Path(item.path).suffix}")
                copy.write_bytes(data)
                places[str(copy)] = number
        return {
            places[place]: reason for place, reason in find_crashes(places, max_pixels=max_pixels).items()
        }
