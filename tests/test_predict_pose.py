"""Poses from end to end: predicting, a folder, comparing and measuring."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import comparisons
import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from fakes import KPT_SHAPE, NAMES, fake_poser, keypoints, poser, read_tree, write_image

import yolo_max
from yolo_max import Detector, Poses, Predictor, cli
from yolo_max.images.letterbox import Letterbox, letterbox
from yolo_max.images.read import read_image
from yolo_max.support.errors import ExitCode, WeightsError
from yolo_max.tasks.pose.decoder import PosePostprocess


@pytest.fixture(autouse=True)
def fake_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", lambda *_, **__: poser)
    monkeypatch.setattr("yolo_max.predict.predictor.load_weights", lambda _: fake_poser())
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [write_image(tmp_path / "photos" / f"{i}.png", i, (40 + 10 * i, 60)) for i in range(4)]
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    return paths


def expected(path: Path) -> Poses:
    """By hand: the letterbox, the network, the decoder."""
    canvas, where = letterbox(read_image(path), (64, 64))
    outputs = {name: each[0] for name, each in poser(canvas[None]).items()}
    return PosePostprocess(NAMES, kpt_shape=KPT_SHAPE)(outputs, where)


def test_an_image_and_a_stream(photos: list[Path]) -> None:
    predictor = Predictor("pose.pt")
    for path, result in zip(photos, predictor.stream(photos), strict=True):
        assert predictor(path) == result.prediction == expected(path)
        assert expected(path).keypoints.shape == (len(expected(path)), *KPT_SHAPE)
    few = predictor(photos[0], max_det=1)
    assert few == expected(photos[0])[:1]
    with pytest.raises(WeightsError, match="the task pose, which Detector does not support"):
        Detector("pose.pt")


def test_a_folder(photos: list[Path]) -> None:
    options = ("-w", "pose.pt", "--save-txt", "--save-conf", "--save-csv", "--no-times")
    assert cli.run(["predict", "photos", *options, "-o", "out"]) == ExitCode.SOME_IMAGES_FAILED
    folder = Path("out")
    records = [json.loads(line) for line in (folder / "predictions.jsonl").open()]
    found = {record["path"]: record for record in records if "error" not in record}
    header, *rows = csv.reader((folder / "predictions.csv").open(newline=""))
    assert len(header) == 8 + KPT_SHAPE[0] * KPT_SHAPE[1]
    for path in photos:
        record, poses = found[str(path.relative_to(Path.cwd()))], expected(path)
        assert Poses.from_dict(record, NAMES) == poses
        assert (folder / record["labels"]).read_text() == poses.labels(confidence=True)
        np.testing.assert_array_equal(read_image(folder / record["annotated"]), yolo_max.draw(path, poses))
        mine = np.array([row[8:] for row in rows if row[0] == record["path"]], np.float32)
        np.testing.assert_array_equal(mine, poses.keypoints.reshape(len(poses), -1))


def test_a_run_can_be_resumed(photos: list[Path]) -> None:
    command = ["predict", "photos", "-w", "pose.pt", "--no-times", "--save-csv", "-o", "out"]
    assert cli.run(command) == ExitCode.SOME_IMAGES_FAILED
    whole = {path: data for path, data in read_tree(Path("out")).items() if path.name != "run.json"}
    lines = Path("out/predictions.jsonl").read_bytes().splitlines(keepends=True)
    Path("out/predictions.jsonl").write_bytes(b"".join(lines[:2]))
    run = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**run, "finished": False}))
    assert cli.run([*command, "--resume"]) == ExitCode.SOME_IMAGES_FAILED
    assert {path: read_tree(Path("out"))[path] for path in whole} == whole


def test_a_comparison(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: fake_poser())
    nudge = comparisons.rounding()
    monkeypatch.setitem(comparisons.NETWORKS, "keypoints", lambda batch: nudge(keypoints(batch)))
    comparisons.install(monkeypatch, fake_poser())
    command = ["compare", *map(str, photos), "-w", "pose.pt", "-o", "report"]
    assert cli.run(command) == ExitCode.OK, capsys.readouterr()
    record = json.loads(Path("report/compare.json").read_text())
    measured = {"pair_keypoint_px", "keypoint_difference_px", "visibility_difference", "box_difference_px"}
    assert measured <= record["distributions"].keys()
    assert 0 < record["distributions"]["keypoint_difference_px"]["p100"] < 0.01
    page = Path("report/report.html").read_text()
    assert "keypoint before NMS, px" in page
    assert "poses matched" in page
    nudge = comparisons.rounding(0.02)
    assert cli.run([*command, "--overwrite"]) == ExitCode.PARITY


@pytest.mark.parametrize("kpt_shape", [[5, 3], [4, 3]])
def test_accuracy(
    kpt_shape: list[int], photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    """What is found is the truth."""
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: fake_poser())
    comparisons.install(monkeypatch, fake_poser())
    data = tmp_path / "data"
    for path in photos:
        write = data / "images" / path.name
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_bytes(path.read_bytes())
        image = read_image(path)
        where = Letterbox.fit(image.shape[:2], (64, 64), round_up=True)  # as in validation
        canvas = where.render(image)
        outputs = {name: comparisons.NETWORKS[name](canvas[None])[0] for name in ("head", "keypoints")}
        truth = PosePostprocess(NAMES, kpt_shape=KPT_SHAPE)(outputs, where)
        (data / "labels").mkdir(exist_ok=True)
        (data / "labels" / f"{path.stem}.txt").write_text(truth.labels())
    description = {"val": "images", "names": NAMES, "kpt_shape": kpt_shape}
    (data / "data.yaml").write_text(yaml.safe_dump(description))
    command = ["val", str(data / "data.yaml"), "-w", "pose.pt", "--engine", "both", "--conf", "0.25"]
    if kpt_shape != [5, 3]:
        assert cli.run(command) != ExitCode.OK
        return
    assert cli.run([*command, "--json"]) == ExitCode.OK
    record = json.loads(capsys.readouterr().out)
    assert record["differences"] == {"keypoint_map50_95": 0, "box_map50_95": 0}
    figures = record["engines"]["max"]
    assert figures["keypoint"]["mean"]["map50_95"] > 0.95
    # Ultralytics' formula does not clip what lies outside the image, and the labels end there.
    assert 0 < figures["ultralytics"]["keypoint_map50_95"] < 0.95
    assert cli.run(command) == ExitCode.OK
    said = " ".join(capsys.readouterr().out.split())
    assert "MAX's keypoint mAP50-95 minus PyTorch's: +0.00000." in said
    assert "MAX's box mAP50-95 minus PyTorch's: +0.00000." in said
    assert "MAX keypoint mAP50-95 0." in said
