"""The manifest: a record comes back from its line, and lines reach the disk in batches."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_max.output.records import record
from yolo_max.predict.folder import manifest as manifest_module
from yolo_max.predict.folder.manifest import SYNC_SECONDS, Manifest
from yolo_max.support.errors import ExitCode, OutputError
from yolo_max.tasks.detect.detections import Detections

# Names as Python has them: any text, and any bytes, with lone surrogates for those that are not UTF-8.
paths = st.text(st.characters(exclude_categories=["Cs"])) | st.binary().map(os.fsdecode)
words = st.text(st.characters(exclude_categories=["Cs"]))
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
times = st.dictionaries(words, st.floats(allow_nan=False, allow_infinity=False), max_size=3)


@st.composite
def found(draw: st.DrawFn) -> Detections:
    names = draw(st.lists(words, min_size=1, max_size=4))
    boxes = draw(st.lists(st.tuples(*[finite] * 4), max_size=4))
    confidences = draw(st.lists(st.floats(0, 1, width=32), min_size=len(boxes), max_size=len(boxes)))
    classes = draw(st.lists(st.integers(0, len(names) - 1), min_size=len(boxes), max_size=len(boxes)))
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(sorted(confidences, reverse=True), np.float32),
        np.array(classes, np.int32),
        dict(enumerate(names)),
        (draw(st.integers(1, 2**16)), draw(st.integers(1, 2**15))),  # 2^31 pixels at most
    )


def written(folder: Path, records: list[Any]) -> Path:
    manifest = Manifest(folder, {}, resume=False)
    for each in records:
        manifest.append(each)
    manifest.close()
    return manifest.path


def read(folder: Path) -> list[Any]:
    manifest = Manifest(folder, {}, resume=True)
    records = list(manifest.records())
    manifest.close()
    return records


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def fresh(place: Path) -> Path:
    """A new folder for each example."""
    return Path(tempfile.mkdtemp(dir=place))


@settings(max_examples=150)
@given(data=st.lists(st.tuples(paths, found() | words, times), max_size=4))
def test_every_record_comes_back_from_one_line(place: Path, data: list[Any]) -> None:
    records = [
        record(path, times_ms=times_ms, **{"error" if isinstance(outcome, str) else "prediction": outcome})
        for path, outcome, times_ms in data
    ]
    folder = fresh(place)
    lines = written(folder, records).read_bytes().split(b"\n")
    assert len(lines) == len(records) + 1
    assert lines[-1] == b""
    again = read(folder)
    assert again == records
    for one, (_, outcome, _) in zip(again, data, strict=True):
        if isinstance(outcome, Detections):
            back = Detections.from_dict(one, outcome.names)
            assert back == outcome
            assert back.xyxy.tobytes() == outcome.xyxy.tobytes()  # -0.0 is not 0.0
            assert back.confidence.tobytes() == outcome.confidence.tobytes()


@settings(max_examples=60)
@given(names=st.lists(paths, min_size=1, max_size=4), cut=st.floats(0, 1), junk=st.binary(max_size=20))
def test_cut_anywhere_it_gives_the_records_that_are_whole(
    place: Path, names: list[str], cut: float, junk: bytes
) -> None:
    """A crash may leave junk without an end of line."""
    records = [record(name, error="e") for name in names]
    folder = fresh(place)
    path = written(folder, records)
    data = path.read_bytes()
    kept = data[: round(cut * len(data))]
    path.write_bytes(kept + junk.replace(b"\n", b" "))
    whole = kept.count(b"\n")
    assert read(folder) == records[:whole]


def test_lines_are_only_ever_added(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, {}, resume=False)
    before = b""
    for number in range(5):
        manifest.append(record(f"{number}.jpg", error="it is empty"))
        after = manifest.path.read_bytes()  # at once, so a killed process loses no line
        assert after.startswith(before)
        assert after.count(b"\n") == number + 1
        before = after
    manifest.close()
    again = Manifest(tmp_path, {}, resume=True)
    again.append(record("5.jpg", error="it is empty"))
    again.close()
    assert again.path.read_bytes().startswith(before)


def test_lines_reach_the_disk_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    synced: list[int] = []  # how many lines there were each time
    manifest = Manifest(tmp_path, {}, resume=False)
    monkeypatch.setattr(manifest_module, "monotonic", lambda: now)
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(manifest.path.read_bytes().count(b"\n")))
    manifest.flush()
    for number in range(100):
        now += SYNC_SECONDS / 10
        manifest.append(record(f"{number}.jpg", error="it is empty"))
    assert synced[0] == 0
    gaps = np.diff(synced)
    assert len(gaps) >= 8  # only the last seconds are ever at risk
    assert gaps.min() >= 10  # and images do not wait for the disk one by one
    manifest.finish()
    assert synced[-1] == 100
    manifest.close()


def test_a_full_disk_is_said_as_such(tmp_path: Path) -> None:
    """The system's own error, in the middle of a run."""
    manifest = Manifest(tmp_path, {}, resume=False)
    manifest.append(record("0.jpg", error="it is empty"))
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, manifest._file)
    os.close(full)
    with pytest.raises(OutputError, match=r"predictions\.jsonl cannot be written: No space left") as caught:
        manifest.append(record("1.jpg", error="it is empty"))
    assert caught.value.exit_code == ExitCode.OUTPUT
    manifest.close()
    assert [each["path"] for each in read(tmp_path)] == ["0.jpg"]


def test_half_a_line_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes part of a line."""
    write = os.write

    def half(file: int, data: memoryview) -> int:
        if len(data) < 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:20])

    manifest = Manifest(tmp_path, {}, resume=False)
    manifest.append({"path": "a.jpg"})
    before = manifest.path.read_bytes()
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        manifest.append({"path": "b.jpg", "image_size": [480, 640]})
    monkeypatch.undo()
    assert manifest.path.read_bytes() == before
    manifest.append({"path": "c.jpg"})
    manifest.close()
    assert [each["path"] for each in read(tmp_path)] == ["a.jpg", "c.jpg"]
