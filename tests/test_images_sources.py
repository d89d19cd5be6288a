from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from yolo_max.images.source import SourceFailure, SourceImage, SourceSkipped
from yolo_max.images.sources import find_images
from yolo_max.support.errors import SourceError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def found(*sources: str | Path, recursive: bool = False, exclude: str | Path | None = None) -> list[str]:
    """The paths of the images found; nothing may fail."""
    items = list(find_images(sources, recursive=recursive, exclude=exclude))
    assert not any(isinstance(item, SourceFailure) for item in items), items
    return [str(item.path) for item in items if isinstance(item, SourceImage)]


def skipped(
    *sources: str | Path, recursive: bool = False, exclude: str | Path | None = None
) -> dict[str, str]:
    """What is skipped, with the first words of the reasons."""
    items = find_images(sources, recursive=recursive, exclude=exclude)
    return {
        str(item.path): " ".join(item.reason.split()[:2]) for item in items if isinstance(item, SourceSkipped)
    }


def places(*sources: str, recursive: bool = False) -> dict[str, tuple[str, str]]:
    """The places of the annotated image and of the labels, by path."""
    items = find_images(sources, recursive=recursive)
    return {str(i.path): (str(i.annotated), str(i.labels)) for i in items if isinstance(i, SourceImage)}


TREE = ["b.jpg", "a.PNG", "notes.txt", "sub/d.webp", "sub/deep/e.tif", "sub/c.jpeg", "sub/deep/f", "z/g.bmp"]


@pytest.mark.parametrize(
    ("sources", "recursive", "expected"),
    [
        (["."], False, ["a.PNG", "b.jpg"]),
        (["."], True, ["a.PNG", "b.jpg", "sub/c.jpeg", "sub/d.webp", "sub/deep/e.tif", "z/g.bmp"]),
        (["sub/"], False, ["sub/c.jpeg", "sub/d.webp"]),
        (["b.jpg"], False, ["b.jpg"]),
        (["./b.jpg"], False, ["b.jpg"]),
        (["sub/deep/f"], False, ["sub/deep/f"]),
        (["z", "b.jpg"], False, ["z/g.bmp", "b.jpg"]),  # in the order that they were named
        (["b.jpg", "b.jpg", "."], False, ["b.jpg", "a.PNG"]),  # each once
        ([".", "sub", "sub/c.jpeg"], True, None),  # a folder and a part of it: the same as the folder
        (["*.jpg"], False, ["b.jpg"]),
        (
            ["*"],
            False,
            ["a.PNG", "b.jpg", "sub/c.jpeg", "sub/d.webp", "z/g.bmp"],
        ),  # as a shell would expand it
        (["*.txt"], False, ["notes.txt"]),  # the suffix is spelt out
        (["sub/*"], True, ["sub/c.jpeg", "sub/d.webp", "sub/deep/e.tif"]),
        (["sub/[cd].*"], False, ["sub/c.jpeg", "sub/d.webp"]),
        (["?/*.bmp"], False, ["z/g.bmp"]),
        (["**/*.tif"], False, ["sub/deep/e.tif"]),
        (["**/d*"], False, ["sub/d.webp", "sub/deep/e.tif"]),
        (["sub/**"], False, ["sub/c.jpeg", "sub/d.webp", "sub/deep/e.tif"]),
        (["**/deep/e.tif"], False, ["sub/deep/e.tif"]),
        (["sub/*/../*.jpeg"], False, ["sub/deep/../c.jpeg"]),
        (["*/c.jpeg", "sub/c.jpeg"], False, ["sub/c.jpeg"]),
    ],
)
def test_what_is_found(folder: Path, sources: list[str], recursive: bool, expected: list[str] | None) -> None:
    touch(*TREE)
    if expected is None:
        expected = found(".", recursive=recursive)
    assert found(*sources, recursive=recursive) == expected
    absolute = [str(folder / source) for source in sources]
    assert found(*absolute, recursive=recursive) == [str(folder / path) for path in expected]


@pytest.mark.parametrize(
    ("files", "passed_over"),
    [
        (["run.json", "predictions.jsonl"], True),  # a run
        (["compare.json", "report.html"], True),  # a comparison
        (["run.json", "report.html"], False),  # somebody's own
    ],
)
@pytest.mark.parametrize("source", [".", "**/*"])
def test_results_are_not_sources_unless_named(
    folder: Path, source: str, files: list[str], passed_over: bool
) -> None:
    touch("a.jpg", "runs/one/b.jpg", *(f"runs/one/{name}" for name in files))
    assert found(source, recursive=True) == ["a.jpg"] + ["runs/one/b.jpg"] * (not passed_over)
    assert found("runs/one") == ["runs/one/b.jpg"]
    for sources in ([source, "runs/one"], ["runs/one", source], [source, "runs/*"]):
        assert sorted(found(*sources, recursive=True)) == ["a.jpg", "runs/one/b.jpg"]
        assert skipped(*sources, recursive=True) == {}


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_max.images.suffixes.reads_heif", lambda: False)


MIXED = (
    "a.jpg",
    "b.HEIC",
    "c.heif",
    "d.mp4",
    "e.Cr2",
    "f.ppm",
    "g.tga",
    "notes.txt",
    "h",
    ".i.mov",
    "labels.json",
)


@pytest.mark.parametrize("source", [".", "*", "**", "**/*"])
@pytest.mark.usefixtures("without_heif")
def test_files_that_one_may_expect_to_be_read_are_reported(folder: Path, source: str) -> None:
    touch(*MIXED)
    assert found(source) == ["a.jpg"]
    assert skipped(source) == {
        "b.HEIC": "HEIC images",
        "c.heif": "HEIC images",
        "d.mp4": "only images",
        "e.Cr2": "raw images",
        "f.ppm": "images of",
        "g.tga": "images of",
    }


def test_heic_is_found_where_it_can_be_read(folder: Path) -> None:
    pytest.importorskip("pillow_heif")
    touch(*MIXED)
    assert found(".") == ["a.jpg", "b.HEIC", "c.heif"]


def test_folders_that_one_may_expect_to_be_read_are_reported(folder: Path) -> None:
    touch(
        "a.jpg", "sub/b.jpg", "sub/c.mp4", "old/run.json", "old/predictions.jsonl", "old/d.jpg", ".git/e.jpg"
    )
    touch("out/f.jpg")
    assert skipped(".", exclude="out") == {"old": "subfolders are", "sub": "subfolders are"}
    assert skipped(".", recursive=True, exclude="out") == {"old": "the results", "sub/c.mp4": "only images"}
    assert skipped("**/*.jpg", exclude="out") == {"old": "the results"}


@pytest.mark.usefixtures("without_heif")
def test_what_is_named_as_well_is_not_skipped(folder: Path) -> None:
    touch("a.jpg", "sub/b.jpg", "c.heic")
    assert found(".", "sub", "c.heic") == ["a.jpg", "sub/b.jpg", "c.heic"]
    assert skipped(".", "sub", "c.heic") == {}
    assert skipped(".", folder, "*") == {"c.heic": "HEIC images"}


def test_sources_may_be_paths(folder: Path) -> None:
    touch(*TREE)
    assert found(folder / "z", Path("b.jpg")) == [str(folder / "z/g.bmp"), "b.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "été 猫.jpg",
        "two words.jpg",
        "line\nbreak.jpg",
        "-rf.jpg",
        "[1].jpg",
        "*.jpg",
        "a.b.c.jpg",
        "'\"$(x);.jpg",
    ],
)
def test_any_name(folder: Path, name: str) -> None:
    touch(name, "1.jpg")
    assert name in found(".")
    assert found(name) == [name]  # a name that exists is not a glob
    assert found(folder) == sorted([str(folder / name), str(folder / "1.jpg")], key=os.fsencode)


def test_a_name_that_is_not_utf_8(folder: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.jpg")
    touch(name)
    assert found(".") == [name]


def test_hidden_files_and_folders_are_passed_over_unless_named(folder: Path) -> None:
    touch("a.jpg", ".b.jpg", ".cache/c.jpg", "sub/.d.jpg", "._a.jpg")
    assert found(".", recursive=True) == ["a.jpg"]
    assert found("**/*.jpg") == ["a.jpg"]
    assert found(".b.jpg", ".cache", ".*.jpg") == [".b.jpg", ".cache/c.jpg", "._a.jpg"]


def test_the_order_does_not_depend_on_that_of_the_directory(folder: Path) -> None:
    names = [f"{number * 7919 % 1000:03}.jpg" for number in range(300)]
    touch(*names)
    assert found(".") == sorted(names)


def test_images_come_one_at_a_time(folder: Path) -> None:
    touch("a/1.jpg", "b/2.jpg")
    images = find_images(["a", "b"])
    assert isinstance(first := next(images), SourceImage)
    assert first.path == Path("a/1.jpg")
    touch("b/3.jpg")  # while it runs
    assert [item.path for item in images] == [Path("b/2.jpg"), Path("b/3.jpg")]


def test_links_to_files_are_images_of_their_own(folder: Path) -> None:
    # A folder of links to a few files is a folder of many images.
    touch("store/a.jpg")
    Path("in").mkdir()
    for name in ("1.jpg", "2.jpg"):
        Path("in", name).symlink_to("../store/a.jpg")
    os.link("store/a.jpg", "in/3.jpg")
    assert found("in") == ["in/1.jpg", "in/2.jpg", "in/3.jpg"]


def test_folders_are_walked_once_however_links_run(folder: Path) -> None:
    touch("a/1.jpg", "b/2.jpg")
    Path("a/up").symlink_to("..")
    Path("a/self").symlink_to(".")
    Path("a/b").symlink_to("../b")
    Path("b/a").symlink_to("../a")
    Path("a/broken").symlink_to("nowhere")
    Path("a/ring").symlink_to("ring")
    assert found(".", recursive=True) == ["a/1.jpg", "a/b/2.jpg"]
    assert found("**/*.jpg") == ["a/1.jpg", "b/2.jpg"]


@pytest.mark.parametrize("source", [".", "*", "**/*.jpg"])
@pytest.mark.parametrize(
    "target",
    [
        "x" * 300,  # longer than a name may be
        "/".join(["y" * 200] * 20),  # nearly as long as a path may be, and too long behind the folder's own
        "link.jpg",  # itself
        "b.jpg/c",  # below a file
    ],
)
def test_a_link_with_an_impossible_target_hides_nothing_else(folder: Path, source: str, target: str) -> None:
    touch("a.jpg", "b.jpg", "sub/c.jpg")
    Path("link.jpg").symlink_to(target)
    Path("link").symlink_to(target)
    assert found(source, recursive=True) == ["a.jpg", "b.jpg", "link.jpg", "sub/c.jpg"]
    assert found("link.jpg", "sub") == ["link.jpg", "sub/c.jpg"]


def test_a_link_into_a_closed_folder_hides_nothing_else(
    monkeypatch: pytest.MonkeyPatch, nobody: Path
) -> None:
    monkeypatch.chdir(nobody)
    touch("in/a.jpg", "closed/b.jpg")
    Path("in/link.jpg").symlink_to("../closed/b.jpg")
    Path("closed").chmod(0)
    try:
        assert found("in") == ["in/a.jpg", "in/link.jpg"]
    finally:
        Path("closed").chmod(0o755)


def test_a_linked_folder_may_be_named(folder: Path) -> None:
    touch("real/1.jpg")
    Path("link").symlink_to("real")
    assert found("link") == ["link/1.jpg"]
    assert found("link", "real") == ["link/1.jpg"]


def test_folders_nested_deeper_than_recursion_goes(folder: Path) -> None:
    depth = sys.getrecursionlimit() + 100
    for level in range(1, depth + 1):
        os.mkdir("/".join("d" * level))  # noqa: PTH102  (pathlib's own recursion gives up)
    deepest = "/".join("d" * depth)
    touch(f"{deepest}/a.jpg")
    assert found(".", recursive=True) == [f"{deepest}/a.jpg"]
    assert found("**/a.jpg") == [f"{deepest}/a.jpg"]
    Path(deepest, "a.jpg").unlink()  # as pytest cannot
    for level in range(depth, 0, -1):
        os.rmdir("/".join("d" * level))  # noqa: PTH106


def test_entries_that_only_look_like_images_are_left_to_the_reader(folder: Path) -> None:
    # Reading reports what each of them is.
    touch("folder.jpg/inside.png")
    os.mkfifo("fifo.jpg")
    Path("broken.jpg").symlink_to("nowhere")
    Path("ring.jpg").symlink_to("ring.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
    expected = ["broken.jpg", "fifo.jpg", "ring.jpg", "socket.jpg"]
    assert found(".") == expected
    assert found(".", recursive=True) == [*expected, "folder.jpg/inside.png"]
    assert found("broken.jpg") == ["broken.jpg"]


@pytest.mark.parametrize("pattern", [".", "**/*.jpg", "*/*.jpg", "**"])
def test_a_folder_that_cannot_be_read_is_reported_in_its_place(
    folder: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch("a/1.jpg", "b/2.jpg", "c/3.jpg")
    real = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert list(find_images([pattern], recursive=pattern == "."))[1] == SourceFailure(
        Path("b"), "it cannot be read (Permission denied)"
    )
    paths = [item.path for item in find_images([pattern], recursive=pattern == ".")]
    assert paths == [Path("a/1.jpg"), Path("b"), Path("c/3.jpg")]


def test_a_folder_without_permission(monkeypatch: pytest.MonkeyPatch, nobody: Path) -> None:
    monkeypatch.chdir(nobody)
    touch("a/1.jpg", "b/2.jpg")
    Path("a").chmod(0)
    try:
        items = list(find_images(["."], recursive=True))
    finally:
        Path("a").chmod(0o755)
    assert items[0] == SourceFailure(Path("a"), "it cannot be read (Permission denied)")
    assert [item.path for item in items[1:]] == [Path("b/2.jpg")]


@pytest.mark.parametrize("exclude", ["out", "./out/", "link"])
def test_the_output_folder_is_not_a_source(folder: Path, exclude: str) -> None:
    touch("a.jpg", "out/a.jpg", "out/sub/b.jpg", "output/c.jpg")
    Path("link").symlink_to("out")
    assert found(".", recursive=True, exclude=exclude) == ["a.jpg", "output/c.jpg"]
    assert found("**/*.jpg", exclude=exclude) == ["a.jpg", "output/c.jpg"]
    assert found("a.jpg", "out/a.jpg", "out", "out/sub", exclude=exclude) == ["a.jpg"]


def test_the_output_folder_is_not_a_source_even_if_it_is_made_later(folder: Path) -> None:
    touch("a/1.jpg", "z/2.jpg")
    images = find_images(["."], recursive=True, exclude="out")
    next(images)
    touch("out/1.jpg")
    assert [item.path for item in images] == [Path("z/2.jpg")]


@pytest.mark.parametrize(
    ("sources", "recursive", "expected"),
    [
        # The tree below a folder is kept ...
        (["in"], True, {"in/a.jpg": "a.jpg", "in/x/b.png": "x/b.png", "in/x/y/c.bmp": "x/y/c.bmp"}),
        # ... and several folders stay apart.
        (["in/x", "other"], False, {"in/x/b.png": "x/b.png", "other/a.jpg": "other/a.jpg"}),
        (["in/x", "other/a.jpg"], False, {"in/x/b.png": "b.png", "other/a.jpg": "a.jpg"}),
        # Files go to the root.
        (["in/x/y/c.bmp"], False, {"in/x/y/c.bmp": "c.bmp"}),
        # Of a glob, the part from its first wildcard.
        (["in/*/b.png"], False, {"in/x/b.png": "x/b.png"}),
        (["in/**/*.bmp"], False, {"in/x/y/c.bmp": "x/y/c.bmp"}),
        (["in/*"], False, {"in/a.jpg": "a.jpg", "in/x/b.png": "x/b.png"}),
        # A place that is taken has a neighbor.
        (["in/a.jpg", "other/a.jpg"], False, {"in/a.jpg": "a.jpg", "other/a.jpg": "a_2.jpg"}),
        (["in/../other"], False, {"in/../other/a.jpg": "a.jpg"}),
    ],
)
def test_places_in_the_output_tree(
    folder: Path, sources: list[str], recursive: bool, expected: dict[str, str]
) -> None:
    touch("in/a.jpg", "in/x/b.png", "in/x/y/c.bmp", "other/a.jpg")
    assert {
        path: annotated for path, (annotated, _) in places(*sources, recursive=recursive).items()
    } == expected


def test_no_two_images_share_a_place(folder: Path) -> None:
    touch("a.jpg", "a.png", "A.jpg", "a.JPG", "a_2.jpg", "a.gif", "a.gif.png", "b.jpeg", "B/c.jpg", "b/C.jpg")
    found_places = places(".", recursive=True)
    assert found_places == {
        "A.jpg": ("A.jpg", "A.txt"),
        "a.JPG": ("a_2.JPG", "a_2.txt"),
        "a.gif": ("a.gif.png", "a.gif.txt"),
        "a.gif.png": ("a.gif_2.png", "a.gif_2.txt"),
        "a.jpg": ("a_3.jpg", "a_3.txt"),
        "a.png": ("a.png", "a.png.txt"),
        "a_2.jpg": ("a_2_2.jpg", "a_2_2.txt"),
        "b.jpeg": ("b.jpeg", "b.txt"),
        "B/c.jpg": ("B/c.jpg", "B/c.txt"),
        "b/C.jpg": ("b/C_2.jpg", "b/C_2.txt"),
    }
    taken = [place.casefold() for pair in found_places.values() for place in pair]
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["missing.jpg"], r"^missing\.jpg does not exist\.$"),
        (["a.jpg", "no", "nor/this"], r"^no, nor/this do not exist\.$"),
        (["https://example.org/a.jpg"], "is an address"),
        (["empty.txt"], r"^empty\.txt is an empty list; write one path on each line"),
        (["-"], "^- would be the standard input, which is not read here; name a file"),
        ([""], "^a source is empty; name images or folders"),
        (["a.jpg", ""], "^a source is empty; name images or folders"),
        (["a\0b"], "does not exist"),
    ],
)
def test_a_missing_source_is_reported_at_once(folder: Path, sources: list[str], message: str) -> None:
    touch("a.jpg")
    Path("empty.txt").write_text("\n")
    with pytest.raises(SourceError, match=message):
        find_images(sources)


@pytest.mark.parametrize(
    ("sources", "exclude", "message"),
    [
        (["empty"], None, "there is no image in empty; images are files with one of the suffixes .avif"),
        (["parent"], None, "subfolders are read only with --recursive"),
        (["*.webp"], None, r"there is no image in \*\.webp"),
        (["nowhere/*.jpg"], None, "there is no image"),
        (["parent/sub"], "parent", "the output folder is never a source"),
        (["videos"], None, "there is no image in videos; only images are read here, not videos"),
        ([], None, "no source"),
    ],
)
def test_no_image_at_all_is_an_error(
    folder: Path, sources: list[str], exclude: str | None, message: str
) -> None:
    touch("empty/notes.txt", "parent/sub/a.jpg", "videos/a.mp4", "videos/b.mp4")
    with pytest.raises(SourceError, match=message):
        list(find_images(sources, exclude=exclude))
