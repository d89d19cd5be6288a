from __future__ import annotations

import csv
import io
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import scene

from yolo_max.detections import Detections
from yolo_max.errors import ExitCode, ImageError, OutputError
from yolo_max.images import decode, read_image
from yolo_max.outputs import (
    CSV_COLUMNS,
    TEMPORARY_PREFIX,
    annotated_name,
    csv_header,
    csv_rows,
    encode_image,
    record,
    write_atomically,
    write_image,
    yolo_labels,
)

NAMES = {0: "person", 1: 'a "quoted", name', 2: "two\nlines"}


def detections() -> Detections:
    return Detections(
        np.array([[10, 20, 110, 60], [0, 0, 200, 100], [33.25, 7.5, 34.75, 9]], np.float32),
        np.array([0.875, 0.5, 0.1], np.float32),
        np.array([0, 1, 2], np.int32),
        NAMES,
        (100, 200),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("a.JPEG", "a.JPEG"),
        ("a.png", "a.png"),
        ("a.b.webp", "a.b.webp"),
        ("a.tif", "a.tif"),
        ("a.bmp", "a.bmp"),
        ("a.jp2", "a.jp2"),
        ("a.jfif", "a.jfif"),
        ("a.gif", "a.gif.png"),  # OpenCV reads more than it writes
        ("a.avif", "a.avif.png"),
        ("a.mpo", "a.mpo.png"),
        ("a.txt", "a.txt.png"),  # an image all the same
        ("a", "a.png"),
        (".jpg", ".jpg.png"),  # a hidden file without a suffix
    ],
)
def test_annotated_name(name: str, expected: str) -> None:
    assert annotated_name(name) == expected
    assert decode(encode_image(scene(), Path(expected).suffix)).shape == scene().shape


@pytest.mark.parametrize(
    ("suffix", "signature", "error"),
    [
        (".jpg", b"\xff\xd8\xff", 12),
        (".JPG", b"\xff\xd8\xff", 12),
        (".jfif", b"\xff\xd8\xff", 12),
        (".webp", b"RIFF", 12),
        (".png", b"\x89PNG", 0),
        (".bmp", b"BM", 0),
        (".tiff", b"II*\0", 0),
        (".jp2", b"\0\0\0\x0cjP", 0),
    ],
)
def test_the_suffix_decides_about_the_format(suffix: str, signature: bytes, error: int) -> None:
    data = encode_image(scene(), suffix)
    assert data.startswith(signature)
    assert np.abs(decode(data).astype(int) - scene()).max() <= error


def test_an_image_too_large_for_its_format_is_its_own_fault() -> None:
    with pytest.raises(ImageError, match=r"16384 x 1 pixels cannot be written as \.webp"):
        encode_image(np.zeros((1, 16384, 3), np.uint8), ".webp")


def test_write_image_reads_back(tmp_path: Path) -> None:
    write_image(tmp_path / "deep/er/a.png", scene())
    np.testing.assert_array_equal(read_image(tmp_path / "deep/er/a.png"), scene())


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_replaced_whole(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"one", sync=sync)
    write_atomically(path, b"two" * 1000, sync=sync)
    assert path.read_bytes() == b"two" * 1000
    assert only(tmp_path) == ["a"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "source.jpg").write_bytes(b"precious")
    (tmp_path / "symbolic").symlink_to("source.jpg")
    os.link(tmp_path / "source.jpg", tmp_path / "hard")
    for name in ("symbolic", "hard"):
        write_atomically(tmp_path / name, b"new")
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "source.jpg").read_bytes() == b"precious"


def test_the_longest_name_there_is(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write_atomically(path, b"abc")
    assert path.read_bytes() == b"abc"


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    contents = [bytes([65 + n]) * 300_000 for n in range(2)]
    write_atomically(path, contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                write_atomically(path, content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(path.read_bytes() in contents for _ in range(300))
    finally:
        stop.set()
        writer.join()


def _fail(number: int) -> Any:
    def fail(*args: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("step", ["fsync", "fdopen"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, _fail(28))
    with pytest.raises(OutputError, match=r"a cannot be written: No space left on device\.$") as caught:
        write_atomically(path, b"new", sync=True)
    assert caught.value.exit_code == ExitCode.OUTPUT
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert only(tmp_path) == ["a"]


def test_a_device_that_is_always_full() -> None:
    with Path("/dev/full").open("wb", 0) as full, pytest.raises(OSError, match="No space"):
        full.write(b"x")  # that is what the next line meets, if it meets /dev/full
    with pytest.raises(OutputError):
        write_atomically(Path("/dev/full/a"), b"x")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/a", "Not a directory"),  # a file where a folder is needed
        ("folder", "directory"),  # a folder where the file shall be
        ("x" * 256, "too long"),
        ("ring/a", "symbolic links"),
    ],
)
def test_what_is_in_the_way_is_said(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "ring").symlink_to("ring")
    before = only(tmp_path)
    with pytest.raises(OutputError, match=reason) as caught:
        write_atomically(tmp_path / place, b"abc")
    assert str(tmp_path / place) in str(caught.value)
    assert only(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_atomically(tmp_path / "a/b", b"abc")


def test_an_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", b"abc", sync=True)
    assert only(tmp_path) == []


def test_the_temporary_name_is_hidden_and_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: seen.extend(only(tmp_path)))
    write_atomically(tmp_path / "a", b"abc", sync=True)
    assert len(seen) == 1
    assert seen[0].startswith(TEMPORARY_PREFIX)


def test_a_record_of_detections() -> None:
    result = record("in/a.jpg", detections=detections(), times_ms={"decode": 1.23456, "infer": 20})
    assert list(result) == ["path", "image_size", "boxes", "times_ms"]
    assert result["times_ms"] == {"decode": 1.235, "infer": 20}
    assert Detections.from_dict(json.loads(json.dumps(result)), NAMES) == detections()


def test_a_record_of_a_failure() -> None:
    assert record("a.jpg", error="it is truncated") == {
        "path": "a.jpg",
        "error": "it is truncated",
        "times_ms": {},
    }


@pytest.mark.parametrize("options", [{}, {"detections": detections(), "error": "both"}])
def test_a_record_says_one_thing(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either"):
        record("a.jpg", **options)


@pytest.mark.parametrize("confidence", [False, True])
def test_labels_are_those_that_ultralytics_writes(tmp_path: Path, confidence: bool) -> None:
    import torch
    from ultralytics.engine.results import Results

    found = detections()
    rows = np.column_stack([found.xyxy, found.confidence, found.class_id]).astype(np.float32)
    results = Results(
        np.zeros((100, 200, 3), np.uint8), path="a.jpg", names=NAMES, boxes=torch.from_numpy(rows)
    )
    results.save_txt(tmp_path / "a.txt", save_conf=confidence)
    assert yolo_labels(found, confidence=confidence) == (tmp_path / "a.txt").read_text()


def test_labels_by_hand() -> None:
    assert yolo_labels(detections()).splitlines()[:2] == ["0 0.3 0.4 0.5 0.4", "1 0.5 0.5 1 1"]
    assert yolo_labels(detections(), confidence=True).splitlines()[0] == "0 0.3 0.4 0.5 0.4 0.875"
    assert yolo_labels(Detections.empty(NAMES, (1, 1))) == ""


@given(st.text(st.characters(blacklist_characters="\0"), min_size=1))
def test_csv_gives_every_path_and_name_back(path: str) -> None:
    text = csv_header() + csv_rows(record(path, detections=detections()))
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert tuple(header) == CSV_COLUMNS
    assert [row[:4] for row in rows] == [
        [path, "0", "person", "0.875"],
        [path, "1", 'a "quoted", name', "0.5"],
        [path, "2", "two\nlines", "0.1"],
    ]
    assert [[float(side) for side in row[4:]] for row in rows] == detections().xyxy.tolist()
    assert text.endswith("\r\n")  # RFC 4180


def test_csv_of_nothing_and_of_a_failure() -> None:
    assert csv_rows(record("a.jpg", detections=Detections.empty(NAMES, (1, 1)))) == ""
    assert csv_rows(record("a.jpg", error="it is empty")) == ""


def test_opencv_is_not_asked_about_the_name(tmp_path: Path) -> None:
    # cv2.imwrite chooses by the name and cannot open every name; bytes written here can.
    path = tmp_path / "line\nbreak \udcff.JPG"
    write_image(path, scene())
    assert cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) is not None
