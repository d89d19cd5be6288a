"""The private cache: where it is, whole files only, damage found, nobody else's folder trusted."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from yolo_max.cache import (
    cache_folder,
    cache_root,
    clear,
    entries,
    read_checked,
    write_checked,
)
from yolo_max.errors import OutputError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"YOLO_MAX_CACHE_DIR": "/a/b"}, Path("/a/b")),  # our own variable wins
        ({"XDG_CACHE_HOME": "/c"}, Path("/c/yolo_max")),  # then the standard's
        ({"XDG_CACHE_HOME": "relative"}, Path("/home/u/.cache/yolo_max")),  # which ignores relative values
        ({}, Path("/home/u/.cache/yolo_max")),
    ],
)
def test_place(variables: dict[str, str], expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("YOLO_MAX_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/u")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == expected


def test_folders_are_private_even_under_a_lax_umask(root: Path) -> None:
    before = os.umask(0)
    try:
        folder = cache_folder("graphs")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(root.stat().st_mode) & 0o022 == 0


def test_files_are_private_even_under_a_lax_umask(root: Path) -> None:
    path = cache_folder("graphs") / "x.mef"
    before = os.umask(0)
    try:
        write_checked(path, b"compiled")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_others_could_write_is_closed(root: Path) -> None:
    root.mkdir()
    (root / "graphs").mkdir()
    (root / "graphs").chmod(0o777)
    assert stat.S_IMODE(cache_folder("graphs").stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_somebody_elses_folder_is_refused(root: Path) -> None:
    root.mkdir()
    os.chown(root, 12345, 12345)
    with pytest.raises(OutputError, match="belongs to another user"):
        cache_folder("graphs")


def test_a_file_in_the_way_is_one_sentence(root: Path) -> None:
    root.write_text("not a folder")
    with pytest.raises(OutputError, match="YOLO_MAX_CACHE_DIR"):
        cache_folder("graphs")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],  # cut short
        lambda data: data[:20],  # shorter than the digest itself
        lambda data: b"",  # empty
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],  # one bit
        lambda data: bytes([data[0] ^ 1]) + data[1:],  # one bit of the digest
    ],
)
def test_damage_is_found_and_removed(root: Path, damage: object) -> None:
    path = cache_folder("graphs") / "x.mef"
    write_checked(path, b"compiled" * 10)
    assert read_checked(path) == b"compiled" * 10
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert read_checked(path) is None
    assert not path.exists()


def test_concurrent_writers_leave_one_whole_file(root: Path) -> None:
    path = cache_folder("graphs") / "x.mef"
    contents = [bytes([i]) * 200_000 for i in range(8)]
    threads = [threading.Thread(target=write_checked, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_checked(path) in contents
    assert [each.name for each in path.parent.iterdir()] == ["x.mef"]


def test_a_failed_write_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache_folder("graphs") / "x"
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OutputError, match="full"):
        write_checked(path, b"data")
    assert list(path.parent.iterdir()) == []


def test_clear_removes_one_kind_or_all(root: Path) -> None:
    (cache_folder("graphs") / "a").write_bytes(b"1234")
    (cache_folder("weights") / "b").write_bytes(b"12")
    assert {(each.kind, each.size) for each in entries()} == {("graphs", 4), ("weights", 2)}
    assert clear("graphs") == 4
    assert [each.kind for each in entries()] == ["weights"]
    assert clear() == 2
    assert list(entries()) == []
    assert clear() == 0
