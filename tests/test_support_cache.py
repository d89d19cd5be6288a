"""The private cache: where it is, whole files only, damage found, nobody else's folder trusted."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from yolo_max import cli
from yolo_max.support.cache import (
    cache_folder,
    cache_root,
    clear,
    entries,
    locked,
    read_checked,
    write_checked,
)
from yolo_max.support.errors import ExitCode, OutputError


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


def test_a_user_without_a_home_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("YOLO_MAX_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(OutputError, match="no home folder; set YOLO_MAX_CACHE_DIR"):
        cache_root()


def test_damage_where_nothing_can_be_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError

    path = cache_folder("graphs") / "x"
    path.write_bytes(b"half")
    monkeypatch.setattr(Path, "unlink", refuse)
    assert read_checked(path) is None


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


@pytest.mark.parametrize(
    ("mode_of_root", "mode_of_folder", "usable"),
    [
        (0o755, 0o700, True),
        (0o1777, 0o700, True),  # like /tmp: others cannot replace what is ours
        (0o777, 0o700, False),
        (0o775, 0o700, False),  # a group is others as well
        (0o755, 0o777, False),
    ],
)
def test_open_folders_are_refused_and_left_as_they_are(
    mode_of_root: int, mode_of_folder: int, usable: bool, root: Path
) -> None:
    (root / "graphs").mkdir(parents=True)
    (root / "graphs").chmod(mode_of_folder)
    root.chmod(mode_of_root)
    if usable:
        assert cache_folder("graphs") == root / "graphs"
    else:
        with pytest.raises(OutputError, match=r"other users can write .* `chmod go-w`"):
            cache_folder("graphs")
    assert stat.S_IMODE(root.stat().st_mode) == mode_of_root
    assert stat.S_IMODE((root / "graphs").stat().st_mode) == mode_of_folder


def test_nothing_is_made_in_an_open_folder(root: Path) -> None:
    root.mkdir()
    root.chmod(0o777)
    with pytest.raises(OutputError, match="other users can write"):
        cache_folder("graphs")
    assert not list(root.iterdir())


def test_a_link_is_no_cache_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    root.mkdir()
    (root / "graphs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is not a folder"):
        cache_folder("graphs")


def give_away(path: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a file to somebody else")
    os.chown(path, 12345, 12345)


def put_behind_a_link(path: Path) -> None:
    path.rename(path.with_suffix(".kept"))
    path.symlink_to(path.with_suffix(".kept"))


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "spoil",
    [
        give_away,
        lambda path: path.chmod(0o620),  # the group can write it
        lambda path: path.chmod(0o602),  # everybody can
        put_behind_a_link,
        replace_by_a_pipe,  # which must not block either
    ],
)
def test_a_file_that_others_could_have_written_is_not_read(root: Path, spoil: Callable[[Path], None]) -> None:
    path = cache_folder("graphs") / "0.mef"
    write_checked(path, b"compiled")
    assert read_checked(path) == b"compiled"
    spoil(path)
    assert read_checked(path) is None
    write_checked(path, b"compiled anew")  # takes its place
    assert read_checked(path) == b"compiled anew"


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
    monkeypatch.setattr("os.replace", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OutputError, match="full"):
        write_checked(path, b"data")
    assert list(path.parent.iterdir()) == []


@pytest.fixture
def full(root: Path) -> Path:
    """A cache with something of every kind, and a file that is of none."""
    for kind, name, size in (
        ("graphs", "a.mef", 4),
        ("weights", "0123-v1.weights", 2),
        ("weights", ".yolo-max-0123456789abcdef", 1),  # left by a process that was killed
        ("weights", "yolov8n.pt", 8),  # fetched
        ("weights", "mine.safetensors", 16),  # put there by hand
        ("weights", "notes.txt", 32),
    ):
        (cache_folder(kind) / name).write_bytes(bytes(size))
    (root / "weights" / ".yolo-max-part").mkdir()  # a download that was killed
    return root


def test_what_is_in_the_cache(full: Path) -> None:
    assert {(each.kind, each.path.name, each.size) for each in entries()} == {
        ("graphs", "a.mef", 4),
        ("weights", "0123-v1.weights", 2),
        ("weights", ".yolo-max-0123456789abcdef", 1),
        ("checkpoints", "yolov8n.pt", 8),
        ("checkpoints", "mine.safetensors", 16),
    }


@pytest.mark.parametrize(
    ("kind", "freed", "left"),
    [
        (None, 7, {"yolov8n.pt", "mine.safetensors", "notes.txt"}),  # what can be made again, and no more
        ("graphs", 4, {"0123-v1.weights", *(".yolo-max-0123456789abcdef", ".yolo-max-part")}),
        ("weights", 3, {"a.mef", "yolov8n.pt", "mine.safetensors"}),
        ("checkpoints", 24, {"a.mef", "0123-v1.weights", "notes.txt"}),  # asked for by name
    ],
)
def test_clear(full: Path, kind: str | None, freed: int, left: set[str]) -> None:
    before = {path.name for path in full.glob("*/*")}
    assert clear(kind) == freed
    after = {path.name for path in full.glob("*/*")}
    assert left <= after <= before
    assert clear(kind) == 0
    removed = {"graphs", "weights"} if kind is None else {kind}
    assert not removed & {each.kind for each in entries()}
    assert "notes.txt" in after


@pytest.mark.parametrize(
    "name",
    [
        "graphs/notes.txt",  # in a folder of the cache, but not ours
        "graphs/model.mef.bak",
        "weights/yolov3.weights",  # another program's weights
        "max/a.txt",
        "models/a.mef",  # in a folder that is not of the cache
    ],
)
def test_clear_leaves_what_is_not_ours(name: str, root: Path) -> None:
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text("")
    clear()
    assert path.exists()


def test_clear_removes_the_cache_of_max_below_ours(root: Path) -> None:
    (cache_folder("max") / ".mojo_cache").mkdir()
    (root / "max" / ".mojo_cache" / "kernel").write_bytes(bytes(64))
    assert clear() == 64
    assert not (root / "max" / ".mojo_cache").exists()


def test_clear_follows_no_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    for name in ("a.mef", "b.mef"):
        (tmp_path / "else" / name).write_bytes(b"kept")
    (root / "weights").mkdir(parents=True)
    (root / "graphs").symlink_to(tmp_path / "else")  # a folder of the cache
    (root / "weights" / ".yolo-max-1").symlink_to(tmp_path / "else")  # an entry, a folder
    (root / "weights" / "0-v1.weights").symlink_to(tmp_path / "else" / "a.mef")  # an entry, a file
    assert clear() == 0
    assert {path.name for path in (tmp_path / "else").iterdir()} == {"a.mef", "b.mef"}
    assert not list((root / "weights").iterdir())


def test_clear_where_there_is_nothing(root: Path) -> None:
    assert clear() == 0
    assert not root.exists()


def test_the_commands(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["cache", "info"]) == ExitCode.OK
    shown = {line.strip().split("  ")[0] for line in capsys.readouterr().out.splitlines()}
    assert {str(full), "compiled graphs", "converted weights", "checkpoints"} <= shown
    assert cli.run(["cache", "clear"]) == ExitCode.OK
    assert "--kind checkpoints" in capsys.readouterr().out
    assert (full / "weights" / "yolov8n.pt").exists()
    assert cli.run(["cache", "clear", "--kind", "checkpoints"]) == ExitCode.OK
    assert not (full / "weights" / "yolov8n.pt").exists()
    assert cli.run(["cache", "clear", "--kind", "graph"]) == ExitCode.USAGE
    assert "there is no kind 'graph'; use graphs, weights or checkpoints" in capsys.readouterr().err


def test_who_waits_for_another_process_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_max.support.cache.PATIENCE", 0.05)
    told, done = threading.Event(), threading.Event()

    def second() -> None:
        with locked(tmp_path / "a", told.set):
            done.set()

    with locked(tmp_path / "a"):
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(30)
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()
