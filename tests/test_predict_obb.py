"""Rotated boxes from end to end, through the very same predictor, folder run and commands as detection."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import comparisons
import numpy as np
import pytest
from fakes import NAMES, FakeEngine, read_tree, write_image
from numpy.typing import NDArray

import yolo_max
from yolo_max import Predictor, RotatedDetections, cli
from yolo_max.images.letterbox import letterbox
from yolo_max.images.read import read_image
from yolo_max.images.source import SourceImage
from yolo_max.images.sources import find_images
from yolo_max.support.errors import ExitCode
from yolo_max.tasks.obb.postprocess import RotatedPostprocess
from yolo_max.verify.compare.comparison import Settings, compare
from yolo_max.verify.compare.folder import ComparisonFolder
from yolo_max.weights.load import Weights
from yolo_max.weights.meta import ModelMeta

HEADS = ("OBB", "OBB26")


def weights(head: str = "OBB") -> Weights:
    """Weights that only `network` can run."""
    meta = ModelMeta.checked(
        names=NAMES,
        nc=len(NAMES),
        imgsz=64,
        architecture={
            "nc": len(NAMES),
            "backbone": [[-1, 1, "Conv", [8, 3, 2]]] * 5,
            "head": [[[2, 3, 4], 1, head, ["nc", 1]]],
        },
        source="fake-obb.pt",
        source_sha256="2" * 64,
    )
    return Weights({}, meta, Path("fake-obb.safetensors"), False, "2" * 64, "")


def network(batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """The boxes of `FakeEngine`, turned by as much as their first logit says."""
    heads = FakeEngine()(batch)
    return {"head": heads, "angle": heads[..., :1].copy()}


def expected(path: Path, head: str = "OBB") -> RotatedDetections:
    """By hand: the letterbox, the network, its decoder."""
    canvas, placement = letterbox(read_image(path), (64, 64))
    outputs = {name: each[0] for name, each in network(canvas[None]).items()}
    return RotatedPostprocess(NAMES, angle_logit=head == "OBB")(outputs, placement)


@pytest.fixture(autouse=True)
def fake_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", lambda *_, **__: network)
    monkeypatch.setattr("yolo_max.predict.predictor.load_weights", lambda _: weights())
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return [write_image(tmp_path / "photos" / f"{i}.png", i, (40 + 10 * i, 60)) for i in range(4)]


@pytest.mark.parametrize("head", HEADS)
def test_an_image_and_a_stream(photos: list[Path], head: str) -> None:
    predictor = Predictor(weights(head), engine=network)
    for path, result in zip(photos, predictor.stream(photos), strict=True):
        assert len(expected(path, head)) > 0
        assert predictor(path) == result.prediction == expected(path, head)
    assert expected(photos[0], "OBB") != expected(photos[0], "OBB26")
    assert len(predictor(photos[0], max_det=1).confidence) == 1


def test_an_engine_without_angles_is_told(photos: list[Path]) -> None:
    with pytest.raises(yolo_max.YoloMaxError, match="the engine does not return angle"):
        Predictor(weights(), engine=lambda batch: network(batch)["head"])(photos[0])


def test_a_folder(photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    options = ("-w", "obb.pt", "--save-conf", "--save-csv")
    assert cli.run(["predict", "photos", *options]) == ExitCode.OK
    total = sum(len(expected(path)) for path in photos)
    assert f"{total} objects in 4 images" in " ".join(capsys.readouterr().out.split())
    folder = Path("runs/predict")
    records = [json.loads(line) for line in (folder / "predictions.jsonl").open()]
    for path, record in zip(photos, records, strict=True):
        found = expected(path)
        assert RotatedDetections.from_dict(record, NAMES) == found
        assert (folder / record["labels"]).read_text() == found.labels(confidence=True)
        np.testing.assert_array_equal(read_image(folder / record["annotated"]), yolo_max.draw(path, found))
    _, *rows = csv.reader((folder / "predictions.csv").open(newline=""))
    assert len(rows) == total
    np.testing.assert_array_equal(np.array(rows[0][4:9], np.float32), expected(photos[0]).xywhr[0])


def test_two_engines_compared(photos: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    comparisons.install(monkeypatch, weights(), max=comparisons.without_best)
    comparison = compare(Settings(weights()), [str(path) for path in photos])
    assert not comparison.verdict.holds
    found = [each for each in find_images(["photos"]) if isinstance(each, SourceImage)]
    record, (page, _) = ComparisonFolder(tmp_path / "out", found).finish(comparison)
    assert record["distributions"]["angle_difference_rad"]["p100"] == 0  # the same angles, other scores
    assert record["distributions"]["score_difference"]["p100"] > 0.1
    (lost,) = record["images"][0]["only_torch"]
    assert len(lost["xywhr"]) == 5
    assert record["images"][0]["head"]["angle_rad"] == 0
    text = page.read_text()
    assert "angle before NMS, rad" in text
    assert "largest angle difference before NMS (bound 0.001 rad)" in text
    comparisons.install(monkeypatch, weights(), max=comparisons.rounding())
    assert compare(Settings(weights()), [str(path) for path in photos]).verdict.holds


def test_a_run_can_be_resumed(photos: list[Path], capsys: Any) -> None:
    command = ["predict", "photos", "-w", "obb.pt", "--no-times", "--save-txt", "-o", "out"]
    assert cli.run(command) == ExitCode.OK
    whole = {path: data for path, data in read_tree(Path("out")).items() if path.name != "run.json"}
    lines = Path("out/predictions.jsonl").read_bytes().splitlines(keepends=True)
    Path("out/predictions.jsonl").write_bytes(b"".join(lines[:2]))
    run = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**run, "finished": False}))
    assert cli.run([*command, "--resume"]) == ExitCode.OK
    assert {path: read_tree(Path("out"))[path] for path in whole} == whole
