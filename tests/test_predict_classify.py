"""Classification from end to end, through the very same predictor, folder run and commands as detection."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import NAMES, brightness, fake_classifier, read_tree, write_image

import yolo_max
from yolo_max import Classification, Detector, Predictor, cli
from yolo_max.images.centre_crop import CentreCrop
from yolo_max.images.decoded import Decoded
from yolo_max.images.frame import Frame, Position
from yolo_max.images.read import read_image
from yolo_max.support.errors import ExitCode, ImageError, WeightsError
from yolo_max.tasks.classify.decoder import softmax


@pytest.fixture(autouse=True)
def fake_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", lambda *_, **__: brightness)
    monkeypatch.setattr("yolo_max.predict.predictor.load_weights", lambda _: fake_classifier())
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [write_image(tmp_path / "photos" / f"{i}.png", i, (40 + 10 * i, 60)) for i in range(4)]
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    return paths


def expected(path: Path) -> Classification:
    """By hand: the crop, the network, a softmax."""
    image = read_image(path)
    size = (image.shape[0], image.shape[1])
    logits = brightness(CentreCrop.fit(size, (32, 32)).render(image)[None])[0]
    return Classification(softmax(logits), NAMES, size)


def test_an_image_and_a_stream(photos: list[Path]) -> None:
    predictor = Predictor("cls.pt")
    for path, result in zip(photos, predictor.stream(photos), strict=True):
        assert predictor(path) == result.prediction == expected(path)
    assert "conf" not in predictor.settings()  # which do not concern it
    with pytest.raises(
        WeightsError, match="the weights are for the task classify, which Detector does not support"
    ):
        Detector("cls.pt")


@pytest.mark.parametrize("keep_images", [False, True])  # the crop is planned before decoding, or behind it
def test_a_frame_that_no_crop_fits_costs_itself(keep_images: bool) -> None:
    av = pytest.importorskip("av")
    shapes = (40, 60, 3), (2, 4096, 3), (40, 60, 3)
    pictures = [av.VideoFrame.from_ndarray(np.zeros(shape, np.uint8), format="bgr24") for shape in shapes]
    frames = [Frame("a.mkv", Position(i, i + 1), Decoded(each, 10**6)) for i, each in enumerate(pictures)]
    results = list(Predictor("cls.pt", imgsz=224).stream(frames, keep_images=keep_images))
    assert [result.frame.number for result in results if result.frame] == [1, 2, 3]
    assert [result.error is None for result in results] == [True, False, True]
    assert isinstance(results[1].error, ImageError)


def test_options_of_detection_are_ignored_and_that_is_said(
    photos: list[Path], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    reported: list[str] = []
    predictor = Predictor("cls.pt", conf=0.9, max_det=1, rect=True, imgsz=32, report=reported.append)
    said = "Ignored, as the weights are for the task classify: "
    assert reported == [f"{said}rect, conf, max_det."]
    assert predictor(photos[0]) == expected(photos[0])
    assert not caplog.messages
    assert predictor(photos[0], iou=0.5) == expected(photos[0])
    assert caplog.messages == [f"{said}iou."]
    Predictor("cls.pt", report=reported.append)
    assert len(reported) == 1  # the defaults are nobody's wish
    Predictor("cls.pt", nms=False, imgsz=32, report=reported.append)
    assert reported[1:] == ["Ignored, as the network has no one-to-one head: --no-nms (nms=False)."]
    assert cli.run(["predict", str(photos[0]), "--conf", "0.9"]) == ExitCode.OK
    assert f"{said}conf.\n" in capsys.readouterr().err


def test_a_folder(photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    options = ("-w", "cls.pt", "--save-txt", "--save-csv")
    assert cli.run(["predict", "photos", *options]) == ExitCode.SOME_IMAGES_FAILED
    out = " ".join(capsys.readouterr().out.split())
    assert "class images best" in out
    assert "4 images · 1 could not be read" in out
    assert "object" not in out
    folder = Path("runs/predict")
    names = [path.stem for path in photos]
    assert {str(path) for path in read_tree(folder)} == {
        *(f"{name}.png" for name in names),
        *(f"labels/{name}.txt" for name in names),
        *("predictions.jsonl", "predictions.csv", "run.json"),
    }
    broken, *records = (
        json.loads(line) for line in sorted((folder / "predictions.jsonl").open(), reverse=True)
    )
    assert "error" in broken
    for path, record in zip(photos, reversed(records), strict=True):
        found = expected(path)
        assert Classification.from_dict(record, NAMES) == found
        assert (folder / record["labels"]).read_text() == found.labels()
        np.testing.assert_array_equal(read_image(folder / record["annotated"]), yolo_max.draw(path, found))
    header, *rows = csv.reader((folder / "predictions.csv").open(newline=""))
    assert header == ["path", "rank", "class_id", "class_name", "confidence"]
    assert [row[:4] for row in rows[:3]] == [
        ["photos/0.png", str(rank), str(each.class_id), each.class_name]
        for rank, each in enumerate(expected(photos[0]).top5, 1)
    ]
    assert np.float32(rows[0][4]) == expected(photos[0]).confidence[0]


def test_json_says_how_many_images_of_each_class(photos: list[Path], capsys: Any) -> None:
    assert cli.run(["predict", "photos", "-w", "cls.pt", "--json"]) == ExitCode.SOME_IMAGES_FAILED
    summary = json.loads(capsys.readouterr().out)
    assert "objects" not in summary
    assert sum(each["images"] for each in summary["classes"].values()) == 4
    assert all(each.keys() == {"images", "best"} for each in summary["classes"].values())


def test_a_run_can_be_resumed(photos: list[Path], capsys: Any) -> None:
    command = ["predict", "photos", "-w", "cls.pt", "--no-times", "-o", "out"]
    assert cli.run([*command, "--strict"]) == ExitCode.SOME_IMAGES_FAILED
    lines = Path("out/predictions.jsonl").read_bytes().splitlines(keepends=True)
    Path("out/predictions.jsonl").write_bytes(b"".join(lines[:2]))
    run = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**run, "finished": False}))
    assert cli.run([*command, "--resume"]) == ExitCode.SOME_IMAGES_FAILED
    assert cli.run([*command[:-1], "whole"]) == ExitCode.SOME_IMAGES_FAILED
    whole = {path: data for path, data in read_tree(Path("whole")).items() if path.name != "run.json"}
    assert {path: read_tree(Path("out"))[path] for path in whole} == whole


def test_what_needs_objects_is_said_to_be_nothing(photos: list[Path], capsys: Any) -> None:
    assert cli.run(["predict", str(photos[0]), "-w", "c.pt", "--save-crop", "--gallery", "-o", "out"]) == 0
    assert "Ignored, as the weights are for the task classify: save_crop." in capsys.readouterr().err
    assert Path("out/gallery.html").is_file()
    assert not Path("out/crops").exists()
    assert cli.run(["predict", str(photos[0]), "-w", "c.pt", "--save-json", "-o", "json"]) == ExitCode.USAGE
    assert "COCO has no form for the class of a whole image" in " ".join(capsys.readouterr().err.split())
