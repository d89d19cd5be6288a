"""Containers of checkpoints that are odd, or that two readers may read in two ways."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from typing import Any

import checkpoints
import pytest

from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint import safe_pickle

GOOD, EVIL = b"\x80\x02}.", b"\x80\x02cos\nsystem\n."


def repacked(data: bytes, **options: Any) -> bytes:
    """The same members in a zip of another kind."""
    source = zipfile.ZipFile(io.BytesIO(data))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    return buffer.getvalue()


def with_member(data: bytes, name: str, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as target:
        target.writestr(name, content)
    return buffer.getvalue()


PLAIN = checkpoints.archive(GOOD)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # a second pickle: readers differ in which of the two they take
        (
            with_member(PLAIN, "archive/DATA.pkl", EVIL).replace(b"DATA", b"data"),
            "several",
        ),
        (with_member(PLAIN, "other/data.pkl"), "no common folder"),
        (with_member(PLAIN, "../evil.py"), "no common folder"),
        (with_member(PLAIN, "/etc/passwd"), "no common folder"),
        (with_member(PLAIN, "archive/constants.pkl"), "TorchScript"),
        (checkpoints.archive(b"", root="a").replace(b"data.pkl", b"date.pkl"), "no data.pkl"),
        (repacked(PLAIN, compression=zipfile.ZIP_DEFLATED), "compressed"),
        (repacked(PLAIN, compression=zipfile.ZIP_BZIP2), "compressed"),
        (PLAIN[: len(PLAIN) // 2], "truncated or damaged"),
        (PLAIN[:-1], "truncated or damaged"),
        (b"PK\x03\x04" + bytes(100), "truncated or damaged"),
        (b"PK\x05\x06" + bytes(18), "no common folder"),  # an archive of nothing
    ],
)
def test_an_odd_archive_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        safe_pickle.load(data)


def test_a_zip_bomb_is_refused_without_unpacking_it() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(200 * 1024**2))
    bomb = buffer.getvalue()
    assert len(bomb) < 1024**2
    tracemalloc.start()
    with pytest.raises(WeightsError, match="compressed"):
        safe_pickle.load(bomb)
    assert tracemalloc.get_traced_memory()[1] < 10 * 1024**2
    tracemalloc.stop()


def test_a_pickle_of_absurd_size_is_refused() -> None:
    with pytest.raises(WeightsError, match="more than 16 MiB"):
        safe_pickle.load(checkpoints.archive(bytes(17 * 1024**2)))


def zipped(entries: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in entries:
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        # names that are one name for some reader
        zipped([("a/data.pkl", GOOD), ("a/DATA.PKL", EVIL)]),
        zipped([("a/DATA.PKL", EVIL), ("a/data.pkl", GOOD)]),
        zipped([("A/data.pkl", EVIL), ("a/data.pkl", GOOD)]),
        zipped([("a/./data.pkl", EVIL), ("a/data.pkl", GOOD)]),
        zipped([("a//data.pkl", EVIL), ("a/data.pkl", GOOD)]),
        zipped([("a/b/../data.pkl", EVIL), ("a/data.pkl", GOOD)]),
        zipped([("a\\data.pkl", EVIL), ("a/data.pkl", GOOD)]),
        zipped([("a/data.pkl", GOOD), ("a/data\N{FULLWIDTH FULL STOP}pkl", EVIL)]),
        zipped([("a/data.pkl", GOOD), ("a/data.p\N{KELVIN SIGN}l", EVIL)]),
        zipped([("a/data.pkl", GOOD), ("a/data.pkl!", EVIL)]).replace(b"data.pkl!", b"data.pkl\0"),
        # a folder before, a folder behind
        zipped([("b/data.pkl", EVIL), ("a/data.pkl", GOOD)]),
        zipped([("data.pkl", EVIL), ("a/data.pkl", GOOD)]),
        # two archives in one file: readers differ in which end they begin from
        zipped([("a/data.pkl", EVIL)]) + zipped([("a/data.pkl", GOOD)]),
        zipped([("a/data.pkl", GOOD)]) + b"PK\x05\x06" + bytes(18),
        zipped([("a/data.pkl", GOOD)]) + bytes(100),
        zipped([("a/data.pkl", GOOD)])[:-2] + b"\x04\0abcd",  # a comment
    ],
)
def test_an_archive_of_two_readings_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsError):
        safe_pickle.load(data)


def test_members_that_overlap_are_refused() -> None:
    data = bytearray(zipped([("a/data.pkl", GOOD), ("a/data.two", EVIL)]))
    at = data.rindex(b"PK\x01\x02")  # the second entry of the directory
    data[at + 42 : at + 46] = data[at - 56 + 42 : at - 56 + 46]  # its place is the first one's
    with pytest.raises(WeightsError, match=r"overlap|damaged"):
        safe_pickle.load(bytes(data))
