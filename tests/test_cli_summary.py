"""What `yolo-max predict` says at the end of what is not in its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_cli import make_engine
from fakes import fake_weights, write_image
from image_files import in_frames, scene
from videos import write_video

from yolo_max.cli import run
from yolo_max.support.errors import ExitCode


@pytest.fixture(autouse=True)
def fake_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", make_engine)
    monkeypatch.setattr("yolo_max.predict.predictor.load_weights", lambda _: fake_weights())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**30))  # which the command changes


def summary_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    run(["predict", *arguments, "--json"])
    summary = json.loads(capsys.readouterr().out)
    assert isinstance(summary, dict)
    return summary


def test_further_frames_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("GIF", "TIFF", "PNG", "WEBP"):
        (tmp_path / f"a.{name.lower()}").write_bytes(in_frames(scene(), name))
    write_image(tmp_path / "b.jpg", 0)
    assert run(["predict", ".", "-o", "out"]) == ExitCode.OK
    assert "Further frames or pages (8 in 4 files) are not read; save them as " in capsys.readouterr().out
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert [record.get("frames") for record in records] == [3, 3, 3, 3, None]
    # A run that is resumed counts those that were done before.
    summary = summary_of(".", "-o", "out", "--resume", capsys=capsys)
    assert summary["further_frames"] == {"files": 4, "frames": 8}
    assert summary["predictions"] == records
    assert run(["predict", "b.jpg", "-o", "plain"]) == ExitCode.OK
    assert "pages" not in capsys.readouterr().out


@pytest.mark.parametrize(("max_det", "reached"), [(300, 0), (1, 3)])
def test_a_limit_that_is_reached_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], max_det: int, reached: int
) -> None:
    for i in range(3):
        write_image(tmp_path / "in" / f"{i}.jpg", i)
    assert run(["predict", "in", "--max-det", str(max_det), "-o", "out"]) == ExitCode.OK
    said = "3 images reached --max-det 1; raise it to see more." in capsys.readouterr().out
    assert said == bool(reached)
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert [record.get("max_det_reached", False) for record in records] == [bool(reached)] * 3
    summary = summary_of("in", "--max-det", str(max_det), "--no-save", capsys=capsys)
    assert summary["max_det_reached"] == reached


def test_reading_and_saving_fail_each_under_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "in" / "a.jpg", 0)
    (tmp_path / "in" / "empty.jpg").touch()
    image = write_image(tmp_path / "in" / "b.jpg", 1)
    long_name = "x" * 250 + ".gif"  # whose annotated image has four letters more
    (tmp_path / "in" / long_name).write_bytes(image.read_bytes())
    assert run(["predict", "in", "-o", "out"]) == ExitCode.SOME_IMAGES_FAILED
    captured = capsys.readouterr()
    assert " in 2 images · 1 could not be read · 1 could not be saved · " in captured.out
    assert "cannot be written for it (File name too long)" in captured.err
    summary = summary_of("in", "-o", "again", capsys=capsys)
    assert (summary["failed"], summary["unsaved"]) == (2, 1)


@pytest.mark.parametrize(
    ("with_image", "heading", "read"),
    [
        (False, "frames", " in 6 frames · "),
        (True, "images", " in 1 image and 6 frames · "),
    ],
)
def test_what_was_read_has_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], with_image: bool, heading: str, read: str
) -> None:
    for name in "ab":
        write_video(tmp_path / f"in/{name}.mp4", 3)
    if with_image:
        write_image(tmp_path / "in/c.jpg", 0)
    assert run(["predict", "in", "--max-det", "1", "-o", "out"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert said.split()[:3] == ["class", "objects", heading]
    assert read in said
    assert f" {heading}/s" in said
    assert f"{6 + with_image} {heading} reached --max-det 1" in said
