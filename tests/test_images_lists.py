"""Lists of sources: files, and what comes through the standard input."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_process import FAKE_CLI
from fakes import read_tree, write_image

from yolo_max.images.lists import read_list, read_stdin
from yolo_max.images.source import SourceFailure, SourceImage
from yolo_max.images.sources import find_images
from yolo_max.images.together import grouped
from yolo_max.support.errors import SourceError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with photographs, and a folder of lists beside others."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("a.jpg", "b.png", "lists/c.jpg", "photos/d.jpg", "photos/e f.jpg")):
        write_image(tmp_path / name, i)
    return tmp_path


def found(*sources: str, stdin: bytes | None = None) -> list[str]:
    piped = None if stdin is None else io.BytesIO(stdin)
    return [str(item.path) for item in find_images(sources, stdin=piped)]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("l.txt", "a.jpg\nphotos/d.jpg\n", ["a.jpg", "photos/d.jpg"]),
        ("l.txt", "photos/e f.jpg\n\n  a.jpg  \r\n", ["photos/e f.jpg", "a.jpg"]),  # blanks around, not in
        ("l.txt", "\ufeffa.jpg", ["a.jpg"]),  # as Windows writes it
        ("l.txt", "c.jpg", ["lists/c.jpg"]),  # beside the list
        ("l.txt", "photos\n", ["photos/d.jpg", "photos/e f.jpg"]),
        ("l.txt", "photos/*.jpg\n", ["photos/d.jpg", "photos/e f.jpg"]),
        ("l.txt", "a.jpg\na.jpg\n", ["a.jpg"]),
        ("l.TXT", "a.jpg", ["a.jpg"]),
        ("l.csv", "source\na.jpg\nb.png\n", ["a.jpg", "b.png"]),
        ("l.csv", "a.jpg,b.png\n", ["a.jpg", "b.png"]),
        ("l.csv", '"photos/e f.jpg"\n', ["photos/e f.jpg"]),
    ],
)
def test_a_list_gives_what_it_names(tree: Path, name: str, content: str, expected: list[str]) -> None:
    (tree / "lists" / name).write_text(content, encoding="utf-8", newline="")
    assert found(f"lists/{name}") == expected
    if "photos\n" not in content and content.count("a.jpg") < 2:  # these it sorts, and reads twice
        from ultralytics.data.loaders import LoadImagesAndVideos

        theirs = LoadImagesAndVideos(tree / "lists" / name).files
        assert sorted(theirs) == sorted(str(tree / path) for path in expected)


@pytest.mark.parametrize("name", ["l.txt", "l.csv", "l.streams"])
def test_comments_are_passed_over_unless_they_are_names(tree: Path, name: str) -> None:
    write_image(tree / "#1.jpg", 7)
    (tree / "lists" / name).write_text("# the doors\na.jpg\n#1.jpg\n  #b.png\n")
    assert found(f"lists/{name}") == ["a.jpg", "#1.jpg"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# doors, front and back\na.jpg\n", ["a.jpg"]),  # a comment has no cells
        ('# the "front door\na.jpg\n', ["a.jpg"]),  # nor an open quote
        ("# doors\nsource\na.jpg\n", ["a.jpg"]),  # the header is the first row behind it
        ("\nsource\na.jpg\n", ["a.jpg"]),
        ("a.jpg\nsource\n", ["a.jpg", "source"]),  # no header any more
        ("path,label\na.jpg,0\nb.png,1\n", ["a.jpg", "b.png"]),  # a table: the column of the paths alone
        ("id,File\n1,a.jpg\n2\n\n3,b.png\n", ["a.jpg", "b.png"]),  # a row that is too short has none
        ("path,image\na.jpg,b.png\n", ["path", "image", "a.jpg", "b.png"]),  # which column is not said
        ("photos,path\na.jpg,b.png\n", ["photos", "path", "a.jpg", "b.png"]),  # the first cell is a folder
        ("#1.jpg,a.jpg\n", ["#1.jpg", "a.jpg"]),  # the first cell is a file
    ],
)
def test_rows_that_are_comments_or_a_header(tree: Path, content: str, expected: list[str]) -> None:
    write_image(tree / "#1.jpg", 7)
    (tree / "l.csv").write_text(content)
    assert read_list("l.csv") == expected


def test_what_a_list_names_in_vain_costs_itself(tree: Path) -> None:
    (tree / "l.txt").write_text("a.jpg\nmissing.jpg\nhttps://example.org/a.jpg\nb.png\n")
    items = list(find_images(["l.txt"]))
    assert [isinstance(item, SourceFailure) for item in items] == [False, True, True, False]


def test_what_is_no_stream_holds_up_none_of_a_list(tree: Path) -> None:
    """Streams do not end: what is to be read behind one comes never."""
    (tree / "l.streams").write_text("0\na.jpg\n1\nmissing.mp4\nb.mp4\n2\n")
    (tree / "b.mp4").touch()
    groups = grouped(find_images(["l.streams"], videos=True))
    assert [[str(item.path) for item in group] for group in groups] == [
        ["a.jpg"],
        ["missing.mp4"],
        ["webcam0", "webcam1", "b.mp4", "webcam2"],
    ]


def test_a_list_in_a_list_is_not_opened_as_one(tree: Path) -> None:
    (tree / "l.txt").write_text("l.txt\n")
    (item,) = find_images(["l.txt"])
    assert isinstance(item, SourceImage)  # that cannot be read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "l.txt is an empty list"),
        (b" \n\n", "l.txt is an empty list"),
        (b"# nothing\n", "l.txt is an empty list"),
        (b"\xff\xfe\0\n", ""),  # any bytes may be a name
        (b"a\0b.jpg", ""),
    ],
)
def test_odd_lists(tree: Path, content: bytes, message: str) -> None:
    (tree / "l.txt").write_bytes(content)
    if message:
        with pytest.raises(SourceError, match=message):
            read_list("l.txt")
    else:
        assert all(isinstance(item, SourceFailure) for item in find_images(["l.txt"]))


def test_a_huge_list_is_refused(tree: Path) -> None:
    with (tree / "l.txt").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(SourceError, match=r"l\.txt cannot be read as a list of images"):
        read_list("l.txt")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a.jpg\nphotos/e f.jpg\n", ["a.jpg", "photos/e f.jpg"]),
        (b"a.jpg\0photos/e f.jpg\0", ["a.jpg", "photos/e f.jpg"]),  # find -print0
        (b"photos\nb.png", ["photos/d.jpg", "photos/e f.jpg", "b.png"]),
        (b"# the doors\n  #b.png\na.jpg\n#1.jpg\n", ["a.jpg", "#1.jpg"]),  # comments, and a name
        (b"#1.jpg\0a.jpg\0", ["#1.jpg", "a.jpg"]),  # names alone
    ],
)
def test_paths_through_the_standard_input(tree: Path, content: bytes, expected: list[str]) -> None:
    write_image(tree / "#1.jpg", 7)
    assert found("-", stdin=content) == expected
    assert found("lists", "-", stdin=content) == ["lists/c.jpg", *expected]  # several mixed


def test_an_image_through_the_standard_input(tree: Path) -> None:
    (item,) = find_images(["-"], stdin=io.BytesIO((tree / "a.jpg").read_bytes()))
    assert isinstance(item, SourceImage)
    assert (str(item.path), item.data) == ("-", (tree / "a.jpg").read_bytes())


@pytest.mark.parametrize("content", [b"", b"\n", b"# nothing\n", b"\x7fELF\x02\x01\x01", b"x" * 10_000])
def test_what_is_neither_is_refused(content: bytes) -> None:
    with pytest.raises(SourceError, match="neither an image nor paths"):
        read_stdin(io.BytesIO(content))


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi"])
def test_a_video_is_refused_as_one(name: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from videos import write_video

    content = write_video(tmp_path / name, 3).read_bytes()
    with pytest.raises(SourceError, match="a video comes through the standard input"):
        read_stdin(io.BytesIO(content))


def piped(content: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*FAKE_CLI, "predict", "-", *arguments], input=content, capture_output=True, check=False
    )


def test_the_command_reads_an_image_from_a_pipe(tree: Path) -> None:
    done = piped((tree / "a.jpg").read_bytes(), "-o", "out", "--save-txt", "--no-times")
    assert done.returncode == 0, done.stderr
    assert {str(path) for path in read_tree(tree / "out")} == {
        *("stdin.png", "labels/stdin.txt", "predictions.jsonl", "run.json")
    }
    of_file = subprocess.run(
        [*FAKE_CLI, "predict", "a.jpg", "--json", "--no-save"], capture_output=True, check=True
    )
    (expected,) = json.loads(of_file.stdout)["predictions"]
    record: dict[str, Any] = json.loads((tree / "out/predictions.jsonl").read_text())
    assert (record["path"], record["boxes"]) == ("-", expected["boxes"])


def test_the_command_reads_paths_from_a_pipe(tree: Path) -> None:
    done = piped(b"a.jpg\nmissing.jpg\nphotos\n", "--json", "--no-save")
    summary = json.loads(done.stdout)
    assert (summary["images"], summary["failed"]) == (4, 1)
    done = piped(b"a.jpg", "-o", "out", "--resume")
    assert b"a run over the standard input cannot be resumed; name files." in done.stderr


def test_a_pipe_under_a_lists_name_is_refused_at_once(tree: Path) -> None:
    os.mkfifo("l.txt")
    with pytest.raises(SourceError, match="is a pipe or a device"):
        found("l.txt")
