"""Shards: the images of a run, cut into runs of fixed length, and the file of records that each becomes.

The cut depends on the list of images alone, so a shard that is done twice, by a worker that was killed and by
the one that took its place, is one file with one name.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from yolo_max.images.source import SourceImage
from yolo_max.support.errors import OutputError
from yolo_max.support.result_names import SHARDS_FOLDER
from yolo_max.tasks.task import Task

_NAME = re.compile(rf"{SHARDS_FOLDER}/\d{{8,}}\.(jsonl|parquet)")


class Item(NamedTuple):
    """An image on its way to a worker, in text.

    Attributes:
        path: As the user named it or its folder.
        place: Its absolute path; empty for an address.
        annotated: Where its annotated image goes.
        labels: Where its labels go.
        address: Where it is on the network or in an object store; empty for a file.
    """

    path: str
    place: str
    annotated: str
    labels: str
    address: str

    @classmethod
    def of(cls, source: SourceImage) -> Item:
        """The item of a source."""
        place = "" if source.address else str(Path.cwd() / source.path)
        return cls(str(source.path), place, str(source.annotated), str(source.labels), source.address or "")

    @property
    def source(self) -> SourceImage:
        """The source that it is the item of."""
        return SourceImage(
            Path(self.path), Path(self.annotated), Path(self.labels), address=self.address or None
        )


def to_text(items: Sequence[Item]) -> str:
    """Items as ASCII, whatever the names of files."""
    return json.dumps(items)


def from_text(text: str) -> list[Item]:
    """The items that `to_text` was given."""
    return [Item(*each) for each in json.loads(text)]


def cut(sources: Sequence[SourceImage], images: int) -> Iterator[list[SourceImage]]:
    """Cuts the images of a run into shards of so many, the last of fewer."""
    for start in range(0, len(sources), images):
        yield list(sources[start : start + images])


def shard_name(number: int, kind: str) -> Path:
    """The file of a shard, relative to the output folder; sorted by name they are in order."""
    return Path(SHARDS_FOLDER) / f"{number:08d}.{kind}"


def is_shard(name: str) -> bool:
    """Whether a file of a run, relative to its output folder, is a shard."""
    return _NAME.fullmatch(name) is not None


def encode_shard(lines: bytes, kind: str, task: Task) -> bytes:
    """A shard as the content of its file.

    Args:
        lines: The manifest's lines of its images.
        kind: "jsonl": these lines. "parquet": a row for each, with the columns ``path``, ``error`` (null
            where there is none), ``classes`` and ``confidences`` of what was found, and ``record``, the line.
        task: The task of the records.
    """
    if kind == "jsonl":
        return lines
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = _lines(lines.decode())
    records = [json.loads(text) for text in texts]
    found = [_found(record, task) for record in records]
    table = pa.table(
        {
            "path": pa.array([_writable(record["path"]) for record in records], pa.string()),
            "error": pa.array([record.get("error") for record in records], pa.string()),
            "classes": pa.array([[name for name, _ in each] for each in found], pa.list_(pa.string())),
            "confidences": pa.array([[conf for _, conf in each] for each in found], pa.list_(pa.float64())),
            "record": pa.array(texts, pa.string()),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def read_shard(path: Path) -> list[Mapping[str, Any]]:
    """The records of a shard, in order.

    Raises:
        OutputError: It cannot be read, or is damaged.
    """
    try:
        if path.suffix == ".jsonl":
            texts = _lines(path.read_text(encoding="utf-8"))
        else:
            import pyarrow.parquet as pq

            texts = pq.read_table(path, columns=["record"])["record"].to_pylist()
        return [json.loads(text) for text in texts]
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError) as error:  # Arrow's errors are ValueErrors
        raise OutputError(f"{path} is damaged; remove it, and use --resume.") from error


def _lines(text: str) -> list[str]:
    """Lines as JSON Lines has them; `str.splitlines` also ends them where a name has a U+2028."""
    return text.split("\n")[:-1]


def _found(record: Mapping[str, Any], task: Task) -> list[tuple[str, float]]:
    return [] if "error" in record else list(task.found(record))


def _writable(path: str) -> str:
    """A path that Arrow can hold: a byte that is not UTF-8 becomes an escape."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
