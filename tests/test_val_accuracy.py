"""Classification on labelled images: the folders, the figures, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from fakes import NAMES, brightness, fake_classifier, write_image

from yolo_max import Classification, Predictor, cli
from yolo_max.support.errors import ExitCode, SourceError, UsageError
from yolo_max.verify.engine_run import Outcome, Workload
from yolo_max.verify.val.accuracy import evaluate
from yolo_max.verify.val.classes import class_map_by_order
from yolo_max.verify.val.dataset import Dataset
from yolo_max.verify.val.image_folder import ClassExample, load_image_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images of each class, in folders named as the model's classes."""
    for number in range(6):
        write_image(tmp_path / "data" / "val" / NAMES[number % 3] / f"{number}.png", number)
    return tmp_path / "data"


def test_a_folder_of_classes(data: Path) -> None:
    (data / "val" / "circle" / ".thumbnail.png").touch()
    (data / "val" / "circle" / "notes.txt").touch()
    (data / "val" / ".cache").mkdir()
    (data / "train" / "triangle").mkdir(parents=True)  # a class that this split has no image of
    found = load_image_folder(data)
    assert dict(found.names) == {0: "circle", 1: "square", 2: "star", 3: "triangle"}
    assert [(each.path.name, each.class_id) for each in found.examples] == [
        *[("0.png", 0), ("3.png", 0), ("1.png", 1), ("4.png", 1), ("2.png", 2), ("5.png", 2)]
    ]


@pytest.mark.parametrize("name", ["validation", "valid"])
def test_other_names_of_the_split(data: Path, name: str) -> None:
    (data / "val").rename(data / name)
    assert len(load_image_folder(data).examples) == 6


@pytest.mark.parametrize(
    ("path", "split", "error", "message"),
    [
        ("data", "test", UsageError, "data has no split 'test'; it has val"),
        (
            "data/val",
            "val",
            UsageError,
            "has no split 'val'; it needs val/CLASS/IMAGE",
        ),  # one folder too deep
        (
            "data.yaml",
            "val",
            SourceError,
            "is not a folder; to measure a classifier, give one with val/CLASS",
        ),
        ("empty", "val", SourceError, "holds no class folder with an image in it"),
    ],
)
def test_what_is_not_such_a_folder(
    data: Path, path: str, split: str, error: type[Exception], message: str
) -> None:
    (data.parent / "data.yaml").touch()
    (data.parent / "empty" / "val" / "cat").mkdir(parents=True)
    with pytest.raises(error, match=message):
        load_image_folder(data.parent / path, split)


def test_classes_are_the_same_by_name_or_else_by_order() -> None:
    model = {0: "Tench", 1: "goldfish", 2: "shark"}
    assert class_map_by_order(model, {0: "goldfish", 1: "tench"}) == {1: 0, 0: 1}
    with pytest.warns(UserWarning, match=r"the folders \(n1, ...\) are not named like the model's classes"):
        assert class_map_by_order(model, {0: "n1", 1: "n2", 2: "n3"}) == {0: 0, 1: 1, 2: 2}
    with pytest.raises(UsageError, match="does not know 1 of the dataset's 3 classes"):
        class_map_by_order(model, {0: "goldfish", 1: "tench", 2: "cat"})
    with pytest.raises(UsageError, match="does not know 2 of the dataset's 2 classes"):
        class_map_by_order(model, {0: "n1", 1: "n2"})


@pytest.mark.parametrize("classes", [2, 5, 12])
def test_accuracy_is_its_definition(classes: int) -> None:
    """Against torch.topk, as Ultralytics counts."""
    rng = np.random.default_rng(classes)
    names = {i: f"class {i}" for i in range(classes)}
    probabilities = rng.dirichlet(np.ones(classes), 40).astype(np.float32)
    targets = rng.integers(0, classes, 40)
    pairs = [
        (ClassExample(Path(f"{i}.png"), int(target)), Classification(row, names, (1, 1)))
        for i, (row, target) in enumerate(zip(probabilities, targets, strict=True))
    ]
    top = torch.from_numpy(probabilities).topk(min(5, classes), 1).indices.numpy() == targets[:, None]
    dataset = Dataset(Path(), names, ())
    found = evaluate(dataset, pairs, {i: i for i in names})
    assert (found.images, found.top1, found.top5) == (40, top[:, 0].mean(), top.any(axis=1).mean())
    for each in found.classes:
        of_class = top[targets == each.class_id]
        assert (each.images, each.top1) == (len(of_class), of_class[:, 0].mean())
        assert each.top5 == of_class.any(axis=1).mean()
    assert sum(each.images for each in found.classes) == 40


class FakeRun:
    """An engine for `validate`; the engines in ``wrong`` mistake the classes."""

    name = "MAX"
    info: ClassVar[dict[str, Any]] = {}
    wrong: ClassVar[set[str]] = set()

    def __init__(self, workload: Workload, _report: object) -> None:
        self.workload = workload

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Outcome]:
        sign = -1 if self.workload.engine in self.wrong else 1
        predictor = Predictor(
            fake_classifier(), engine=lambda batch: sign * brightness(batch), **self.workload.options
        )
        for result in predictor.stream(self.workload.paths):
            error = None if result.error is None else result.error.reason
            yield Outcome(str(result.source), error, result.prediction, result.times_ms)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, data: Path) -> Any:
    """Runs ``yolo-max val`` on a dataset where each image lies in the folder of its predicted class."""
    predictor = Predictor(fake_classifier(), engine=brightness)
    for image in sorted((data / "val").rglob("*.png")):
        found = predictor(image)
        assert isinstance(found, Classification)
        place = data / "val" / found.top1.class_name
        place.mkdir(exist_ok=True)
        image.rename(place / image.name)
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: fake_classifier())
    monkeypatch.setattr("yolo_max.verify.val.validate.EngineRun", FakeRun)
    monkeypatch.setattr("yolo_max.runtime.host.Disturbance.summary", lambda _: {})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)  # it takes no evaluator of boxes
    return lambda *arguments: cli.run(["val", str(data), "-w", "cls.pt", *arguments])


def test_the_command(command: Any, capfd: Any) -> None:
    assert command("--engine", "both") == ExitCode.OK
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert lines[0] == ["top-1", "top-1", "top-5", "top-5"]
    assert lines[1] == ["class", "PyTorch", "MAX", "PyTorch", "MAX", "images"]
    assert ["all", *["1.0000"] * 4, "6"] in lines
    assert ["MAX's", "top-1", "minus", "PyTorch's:", "+0.00000."] in lines


def test_options_of_detection_are_ignored_and_that_is_said(command: Any, capfd: Any) -> None:
    assert command("--iou", "0.5") == ExitCode.OK
    assert capfd.readouterr().err == "Ignored, as the weights are for the task classify: iou.\n"
    assert command("--iou", "0.5", "--quiet") == ExitCode.OK
    assert capfd.readouterr().err == ""


def test_engines_that_differ(
    command: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FakeRun, "wrong", {"max"})
    assert command("--engine", "both", "--json", "--save-json", str(tmp_path / "p.json")) == ExitCode.PARITY
    record = json.loads(capfd.readouterr().out)
    assert record["engines"]["torch"]["top1"] == 1
    assert record["engines"]["max"]["top1"] < 0.5
    assert record["engines"]["max"]["top5"] == 1  # there are but three classes
    assert record["verdict"]["failures"][0].startswith("top-1 differs by")
    rows = json.loads((tmp_path / "p_torch.json").read_text())
    assert len(rows) == 6
    assert all(Path(row["file_name"]).parent.name == row["class_name"] for row in rows)


def test_an_image_that_cannot_be_read_counts_for_no_engine(command: Any, data: Path, capfd: Any) -> None:
    next((data / "val").rglob("*.png")).write_bytes(b"no image")
    assert command("--json") == ExitCode.SOME_IMAGES_FAILED
    assert json.loads(capfd.readouterr().out)["engines"]["max"]["images"] == 5
