"""Files are there whole or not at all, whatever is in the way."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from yolo_max.support.atomic import TEMPORARY_PREFIX, write_atomically
from yolo_max.support.errors import ExitCode, OutputError


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


def test_permissions_may_be_narrower(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"", mode=0o600)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


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


def test_a_device_that_is_always_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own error, while the data is written."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    real = os.open

    def open_full(place: Path, *arguments: int, **more: Any) -> int:
        os.close(real(place, *arguments, **more))
        return real("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", open_full)
    with pytest.raises(OutputError, match=r"a cannot be written: No space left on device\.$"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert only(tmp_path) == ["a"]


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


def test_a_read_only_folder(nobody: Path) -> None:
    (nobody / "a").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_atomically(nobody / "a/b", b"abc")


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
