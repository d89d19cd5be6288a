"""The page of a run: what it knows of the images, and that nothing in it is more than text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import cv2
import pytest
from fakes import write_image

from yolo_max.cli import run
from yolo_max.output.gallery import THUMBNAIL, gallery
from yolo_max.tasks.classify.task import CLASSIFY
from yolo_max.tasks.detect.task import DETECT

NAMES = {0: "person", 1: "</script><b>", 2: "person"}  # two classes of one name are one


def data_of(page: bytes) -> dict[str, Any]:
    (text,) = re.findall(
        r'<script id="data" type="application/json">(.*?)</script>', page.decode(), re.DOTALL
    )
    found: dict[str, Any] = json.loads(text)
    return found


def box(name: str, confidence: float) -> dict[str, Any]:
    return {"class_name": name, "confidence": confidence}


RECORDS: list[dict[str, Any]] = [
    {
        "path": "a/ä %.png",
        "boxes": [box("person", 0.25), box("</script><b>", 0.98765)],
        "times_ms": {"decode": 1.5, "infer": 3},
        "thumbnail": "thumbnails/ä %#?.jpg",
        "annotated": "a\udcff.png",
    },
    {"path": "clip.mp4", "frame": 7, "boxes": [], "times_ms": {"decode": 0.5, "infer": 1}},
    {"path": "<i>.png", "error": "it is <b>broken</b>", "times_ms": {}},
]


def test_it_knows_what_the_records_say() -> None:
    page = gallery(DETECT, NAMES, RECORDS)
    data = data_of(page)
    first, frame, failed = data["images"]
    assert data["counted"] == "object"
    assert [each["name"] for each in data["classes"]] == ["person", "</script><b>"]
    assert data["times"] == {"decode": 1, "infer": 2}  # of those that were read
    assert first["found"] == [[1, 0.988], [0, 0.25]]  # the surest first
    assert first["ms"] == 4.5
    assert (frame["name"], frame["found"]) == ("clip.mp4 · 7", [])
    assert failed == {"name": "<i>.png", "error": "it is <b>broken</b>"}


def test_files_beside_it_are_named_whatever_is_in_their_names() -> None:
    first, *_ = data_of(gallery(DETECT, NAMES, RECORDS))["images"]
    assert unquote_to_bytes(first["thumbnail"]) == "thumbnails/ä %#?.jpg".encode()
    assert unquote_to_bytes(first["annotated"]) == b"a\xff.png"
    assert re.fullmatch(r"[\w/%.~-]+", first["thumbnail"] + first["annotated"])


@pytest.mark.parametrize(
    ("records", "noun"),
    [
        (RECORDS[:1], "image"),
        (RECORDS[1:2], "frame"),
        (RECORDS, "picture"),  # both
        ([], "image"),
    ],
)
def test_pictures_are_called_what_they_are(records: list[dict[str, Any]], noun: str) -> None:
    assert data_of(gallery(DETECT, NAMES, records))["noun"] == noun


def test_a_frame_leads_into_its_video() -> None:
    def frame(index: int, **more: Any) -> dict[str, Any]:
        return {"path": "a b.mp4", "frame": index, "time": index / 4, "boxes": [], **more}

    records = [
        frame(0),
        {"path": "a.png", "boxes": []},
        frame(1, annotated="frames/2.jpg"),  # its own picture comes first
        {"path": "a b.mp4", "frame": 2, "error": "it is damaged"},
        frame(3, last=True, video="sub/a b.mp4"),
        {**frame(0, last=True, video_error="it cannot be written"), "path": "c.mp4"},
    ]
    images = data_of(gallery(DETECT, NAMES, records))["images"]
    assert [each.get("annotated") for each in images] == [
        *("sub/a%20b.mp4#t=0.0", None, "frames/2.jpg", "sub/a%20b.mp4#t=0", "sub/a%20b.mp4#t=0.75", None)
    ]


def test_names_end_no_script_and_nothing_is_fetched() -> None:
    page = gallery(DETECT, NAMES, RECORDS).decode()
    assert page.count("</script>") == 2  # the data's and the page's own
    assert "<i>" not in page
    assert "://" not in page
    assert "innerHTML" not in page  # names become text
    assert "default-src 'none'" in page


def test_of_classes_there_is_the_most_probable() -> None:
    record = {"path": "a.png", "top5": [box("person", 0.9), box("</script><b>", 0.1)], "times_ms": {}}
    data = data_of(gallery(CLASSIFY, NAMES, [record]))
    assert data["counted"] is None
    assert data["images"][0]["found"] == [[0, 0.9]]


@pytest.mark.usefixtures("fake_network")
@pytest.mark.parametrize("save", ["--save", "--no-save"])
def test_a_run_has_a_page_and_thumbnails(photos: Path, save: str) -> None:
    write_image(photos / "wide.png", 5, (100, 700))
    (photos / "broken.png").write_bytes(b"no image")
    run(["predict", "photos", "-r", "--gallery", save, "-o", "out", "--conf", "0.01"])
    images = data_of(Path("out/gallery.html").read_bytes())["images"]
    lines = Path("out/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [each["name"] for each in images] == [each["path"] for each in records]
    assert sum("error" in each for each in images) == 1
    for image, record in zip(images, records, strict=True):
        if "error" in image:
            continue
        picture = cv2.imread(str(Path("out", image["thumbnail"])))
        assert picture is not None
        assert max(picture.shape) <= THUMBNAIL
        assert len(image["found"]) == len(record["boxes"])
        assert ("annotated" in image) == (save == "--save")
    assert run(["predict", "photos", "-o", "out", "--overwrite"]) != 0  # the broken one
    assert not Path("out/gallery.html").exists()
    assert not Path("out/thumbnails").exists()
