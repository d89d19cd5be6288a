"""Images by address, in folders and in what Arrow takes for a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import write_image
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from yolo_max.images.globs import RESULTS
from yolo_max.images.source import SourceSkipped
from yolo_max.ray import buckets
from yolo_max.ray.buckets import find_objects, is_bucket, read_object
from yolo_max.support.errors import ImageError, SourceError


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is in all buckets: keys begin with a bucket's name, as Arrow has them."""
    monkeypatch.setattr(buckets, "_bucket", lambda _: SubTreeFileSystem(str(tmp_path), LocalFileSystem()))
    for i, key in enumerate(
        ["photos/b.jpg", "photos/a.png", "photos/day 1/a%20b.jpg", "photos/.hidden/c.jpg"]
    ):
        write_image(tmp_path / key, i)
    (tmp_path / "photos/notes.txt").write_text("no image")
    return tmp_path


def find(*addresses: str, recursive: bool = False, remote: bool = True) -> list[Any]:
    return list(find_objects(addresses, recursive=recursive, remote=remote))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("s3://bucket/key", True),
        ("gs://bucket", True),
        ("file:///folder", False),  # a folder
        ("https://host/a.jpg", False),  # fetched, within limits, by what fetches addresses
        ("folder", False),
        ("s3", False),
    ],
)
def test_what_is_a_bucket(source: str, expected: bool) -> None:
    assert is_bucket(source) is expected


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_prefix_gives_its_images_in_order(store: Path, scheme: str) -> None:
    found = find(f"{scheme}://photos/")
    assert [each.name for each in found] == [f"{scheme}://photos/a.png", f"{scheme}://photos/b.jpg"]
    assert [str(each.annotated) for each in found] == ["a.png", "b.jpg"]


def test_below_it_only_if_asked(store: Path) -> None:
    found = find("s3://photos", recursive=True)
    assert [each.name for each in found] == [
        *("s3://photos/a.png", "s3://photos/b.jpg", "s3://photos/day 1/a%20b.jpg")  # keys are not URLs
    ]
    assert str(found[-1].annotated) == "day 1/a%20b.jpg"


def test_bytes_are_those_of_the_object(store: Path) -> None:
    for each in find("s3://photos", recursive=True):
        assert read_object(each.name) == (store / each.name.removeprefix("s3://")).read_bytes()


def test_one_image(store: Path) -> None:
    assert [each.name for each in find("s3://photos/notes.txt")] == ["s3://photos/notes.txt"]  # it is named


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["photos", "photos/", "photos/day 1"], ["a.png", "b.jpg", "day 1/a%20b.jpg"]),
        (["photos/b.jpg", "photos"], ["b.jpg", "a.png", "day 1/a%20b.jpg"]),
        (["photos/day 1", "photos"], ["day 1/a%20b.jpg", "a.png", "b.jpg"]),
    ],
)
def test_addresses_that_overlap_give_an_image_once(store: Path, keys: list[str], expected: list[str]) -> None:
    found = find(*(f"s3://{key}" for key in keys), recursive=True)
    assert [each.name for each in found] == [f"s3://photos/{name}" for name in expected]


def test_results_of_earlier_runs_are_sources_only_where_they_are_named(store: Path) -> None:
    plain = find("s3://photos", recursive=True)
    for name in ("run.json", "predictions.jsonl", "labels/b.txt"):
        (store / "photos/run" / name).parent.mkdir(parents=True, exist_ok=True)
        (store / "photos/run" / name).touch()
    write_image(store / "photos/run/b.jpg", 1)
    write_image(store / "photos/run/crops/car/b.jpg", 1)
    assert find("s3://photos", recursive=True) == [*plain, SourceSkipped("s3://photos/run", RESULTS)]
    both = find("s3://photos", "s3://photos/run", recursive=True)
    assert [each.name for each in both[3:]] == ["s3://photos/run/b.jpg", "s3://photos/run/crops/car/b.jpg"]
    write_image(store / "other/run/b.jpg", 1)
    for name in ("run.json", "predictions.jsonl"):
        (store / "other/run" / name).touch()
    with pytest.raises(SourceError, match=f"there is no image in s3://other; {RESULTS}"):
        find("s3://other", recursive=True)


@pytest.mark.parametrize(
    ("address", "more", "message"),
    [
        ("s3://photos", {"remote": False}, "read only with --allow-remote"),
        ("s3://photos/nothing", {}, "s3://photos/nothing does not exist"),
        ("s3://photos/day 1/deeper", {}, "does not exist"),
        ("s3://empty", {}, "there is no image in s3://empty, and subfolders are read only with --recursive"),
        ("s3://empty", {"recursive": True}, r"there is no image in s3://empty\."),
    ],
)
def test_what_is_not_there(store: Path, address: str, more: Any, message: str) -> None:
    (store / "empty").mkdir()
    with pytest.raises(SourceError, match=message):
        find(address, **more)


def test_an_object_that_cannot_be_read(store: Path) -> None:
    with pytest.raises(ImageError, match="it cannot be read"):
        read_object("s3://photos/gone.jpg")
    with pytest.raises(ImageError, match=r"its [0-9,]+ bytes are more than the 10 "):
        read_object("s3://photos/b.jpg", 10)
