"""What `yolo-max val --out` writes: curves, confusion, a table, sheets and a page."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import comparisons
import cv2
import numpy as np
import pytest
from fakes import NAMES, fake_classifier, fake_weights, write_image
from ultralytics.utils.metrics import ap_per_class
from val_scenes import scenes

from yolo_max import cli
from yolo_max.support.errors import EngineError, ExitCode
from yolo_max.tasks.detect.detections import Detections
from yolo_max.verify.val import evaluate
from yolo_max.verify.val.confusion import Confusion
from yolo_max.verify.val.curves import Curves
from yolo_max.verify.val.dataset import BoxDataset, Dataset
from yolo_max.verify.val.image_folder import ClassExample
from yolo_max.verify.val.keypoints import Keypoints
from yolo_max.verify.val.masks import Masks
from yolo_max.verify.val.objects import BOXES, Example, Shape
from yolo_max.verify.val.report import folder, plots
from yolo_max.verify.val.report.sheet import label_marks, sheets
from yolo_max.verify.val.rotated import RotatedBoxes
from yolo_max.verify.val.ultralytics_map import Hits
from yolo_max.verify.val.validate import EngineAccuracy

CURVES = {f"Box{name}_curve.png" for name in ("PR", "F1", "P", "R")}
FILES = CURVES | {
    *("confusion_matrix.png", "confusion_matrix_normalized.png"),
    *("val_batch0_labels.jpg", "val_batch0_pred.jpg"),
    *("per_class.csv", "predictions.json", "val.json", "val.html"),
}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, data: Path) -> Any:
    """Runs ``yolo-max val`` on fake engines, in this process."""
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: fake_weights())
    monkeypatch.setattr("yolo_max.runtime.host.Disturbance.summary", lambda _: {})

    def run(*arguments: str) -> int:
        comparisons.install(monkeypatch, fake_weights())
        return cli.run(["val", str(data), *arguments])

    return run


def names_in(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_all_files_of_one_engine(command: Any, tmp_path: Path, capfd: Any) -> None:
    out = tmp_path / "out"
    assert command("--out", str(out)) == ExitCode.OK
    assert names_in(out) == FILES
    assert f"Wrote {out / 'val.html'}." in capfd.readouterr().err.replace("\n", "")
    page = (out / "val.html").read_text()
    assert all(f'src="{name}"' in page for name in FILES if name.endswith(("png", "jpg")))
    assert "http" not in page  # nothing from elsewhere
    for name in FILES:
        if name.endswith(("png", "jpg")):
            assert np.asarray(cv2.imread(str(out / name))).std() > 1
    rows = list(csv.reader((out / "per_class.csv").open()))
    assert rows[0][:6] == ["Class", "Images", "Instances", "P", "R", "F1"]
    assert {row[0] for row in rows[2:]} == set(NAMES.values())
    assert rows[1][0] == "all"
    record = json.loads((out / "val.json").read_text())
    assert float(rows[1][rows[0].index("mAP50")]) == pytest.approx(
        record["engines"]["max"]["mean"]["map50"], abs=1e-4
    )
    matrix = record["confusion_matrix"]
    assert matrix["names"] == [*NAMES.values(), "background"]
    assert np.shape(matrix["counts"]) == (4, 4)
    assert 0 <= record["best_confidence"]["box"] <= 1
    predictions = json.loads((out / "predictions.json").read_text())
    assert {"image_id", "category_id", "bbox", "score"} <= predictions[0].keys()
    assert command("--out", str(out), "-q") == ExitCode.OK  # its own files are replaced


def test_a_classifier_has_matrices_and_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, name in enumerate(NAMES.values()):
        write_image(tmp_path / f"data/val/{name}/{i}.png", i)
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: fake_classifier())
    monkeypatch.setattr("yolo_max.runtime.host.Disturbance.summary", lambda _: {})
    comparisons.install(monkeypatch, fake_classifier())
    assert cli.run(["val", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "-q"]) == ExitCode.OK
    assert names_in(tmp_path / "out") == FILES - CURVES
    header, *_ = csv.reader((tmp_path / "out/per_class.csv").open())
    assert header == ["Class", "Images", "top-1", "top-5"]


def test_two_engines_have_folders_of_their_own(command: Any, tmp_path: Path) -> None:
    assert command("--engine", "both", "--out", str(tmp_path / "out"), "-q") == ExitCode.OK
    assert names_in(tmp_path / "out") == {"max", "torch"}
    assert names_in(tmp_path / "out/max") == names_in(tmp_path / "out/torch") == FILES


def earlier(*files: str) -> str:
    """The record of a validation that wrote these files."""
    return json.dumps({"written_by": folder.WRITTEN_BY, "files": [*files, "val.json"]})


@pytest.mark.parametrize("name", sorted(FILES))
def test_other_files_are_not_overwritten(command: Any, tmp_path: Path, name: str, capfd: Any) -> None:
    (tmp_path / name).write_text("mine")
    assert command("--out", str(tmp_path)) == ExitCode.OUTPUT
    assert "is not a result of an earlier validation" in " ".join(capfd.readouterr().err.split())
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    "record",
    [
        json.dumps({"images": [], "annotations": [], "categories": []}),  # COCO's annotations
        "{}",
        "[]",
        "[" * 100_000,
        json.dumps({"written_by": "another program", "files": ["val.json", "per_class.csv"]}),
        json.dumps({"written_by": folder.WRITTEN_BY}),  # does not say what it wrote
        json.dumps({"written_by": folder.WRITTEN_BY, "files": 7}),
        earlier("val.html"),  # ours, and did not write the table
    ],
)
def test_only_what_a_validation_lists_is_its_own(command: Any, tmp_path: Path, record: str) -> None:
    files = {"val.json": record, "per_class.csv": "mine", "predictions.json": "mine"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert command("--out", str(tmp_path)) == ExitCode.OUTPUT
    assert {name: (tmp_path / name).read_text() for name in files} == files


def test_nothing_is_left_of_an_earlier_validation(command: Any, tmp_path: Path) -> None:
    assert set(folder.FILES) > FILES
    (tmp_path / "val.json").write_text(earlier("MaskPR_curve.png", "notes.txt", "../data.yaml"))
    (tmp_path / "MaskPR_curve.png").write_text("of a segmentation")
    (tmp_path / "notes.txt").write_text("mine")  # nothing that a validation writes
    assert command("--out", str(tmp_path), "-q") == ExitCode.OK
    assert names_in(tmp_path) >= FILES | {"notes.txt", "data.yaml"}
    assert "MaskPR_curve.png" not in names_in(tmp_path)
    assert set(json.loads((tmp_path / "val.json").read_text())["files"]) == FILES


@pytest.mark.parametrize("place", ["images", "images/val", "link"])
def test_no_picture_gets_among_the_images(command: Any, tmp_path: Path, place: str, capfd: Any) -> None:
    (tmp_path / "link").symlink_to("images")
    before = names_in(tmp_path / "images")
    assert command("--out", str(tmp_path / place)) == ExitCode.OUTPUT
    assert "is among the dataset's images" in " ".join(capfd.readouterr().err.split())
    assert names_in(tmp_path / "images") == before


def test_a_class_is_no_place_for_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines would be two more classes."""
    write_image(tmp_path / "val/cat/0.png", 0)
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: fake_classifier())
    out = tmp_path / "val"
    assert cli.run(["val", str(tmp_path), "--out", str(out), "--engine", "both"]) == ExitCode.OUTPUT
    assert names_in(out) == {"cat"}


def test_predictions_do_not_replace_the_dataset(command: Any, data: Path, capfd: Any) -> None:
    before = data.read_bytes()
    (data.parent / "link.json").symlink_to(data)
    for path in (data, data.parent / "link.json"):
        assert command(f"--save-json={path}") == ExitCode.USAGE
        assert "would overwrite the dataset" in " ".join(capfd.readouterr().err.split())
    assert data.read_bytes() == before


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EngineError, match="pip install matplotlib"):
        plots.require()


def engine_of(names: dict[int, str], found: list[evaluate.Found]) -> tuple[BoxDataset, EngineAccuracy]:
    dataset = BoxDataset(Path("data.yaml"), names, ())
    same = {class_id: class_id for class_id in names}
    return dataset, EngineAccuracy(
        *(evaluate.evaluate(dataset, found, same), []),
        curves={"box": Curves.of(names, found, same)},
        confusion=Confusion.of_boxes(names, found, same),
        engine="max",
        info={},
        infer_ms=1.0,
    )


@pytest.mark.parametrize("classes", [4, 80])
def test_the_table_has_the_figures_of_yolo_val(classes: int) -> None:
    """Also where two classes have one name, or one is called "all"."""
    names, found = scenes(1, classes, images=60)
    names = {**names, 0: "all", 20: names[10]}
    _, engine = engine_of(names, found)
    header, rows = folder.table(engine)
    hits = Hits.of(found, {class_id: class_id for class_id in names})
    objects = np.concatenate([each.example.class_id for each in found])
    _, _, precision, recall, f1, *_ = ap_per_class(hits.correct, hits.confidence, hits.class_id, objects)
    for key, theirs in (("P", precision), ("R", recall), ("F1", f1)):
        ours = [float(row[header.index(key)]) for row in rows]
        np.testing.assert_allclose(ours, [theirs.mean(), *theirs], atol=6e-5)
    assert [row[0] for row in rows] == ["all", *(names[i] for i in engine.curves["box"].class_id)]


def test_names_are_escaped_and_many_classes_fit(tmp_path: Path) -> None:
    names, found = scenes(2, 120, images=20)
    names[10] = "<script>$x_1$</script> \u732b " + "long " * 20
    dataset, engine = engine_of(names, found)
    page = folder.write(tmp_path, dataset, engine, {}, title="<b>title</b>", conf=0.001).read_text()
    assert "<script>" not in page
    assert "<b>" not in page
    assert names_in(tmp_path) == FILES - {"val_batch0_labels.jpg", "val_batch0_pred.jpg"}
    for name in ("confusion_matrix.png", "BoxPR_curve.png"):
        height, width = np.asarray(cv2.imread(str(tmp_path / name))).shape[:2]
        assert max(height, width) <= 4000


@pytest.mark.parametrize(
    ("conf", "advised"),
    [
        (0.001, True),  # mAP's, at which false alarms outnumber all else
        (0.25, False),  # that of the drawn predictions
    ],
)
def test_the_page_says_what_the_matrix_counts(tmp_path: Path, conf: float, advised: bool) -> None:
    dataset, engine = engine_of(*scenes(2))
    page = folder.write(tmp_path, dataset, engine, {}, title="title", conf=conf).read_text()
    assert f"count every prediction above confidence {conf};" in page
    assert ("--conf 0.25" in page) == advised


def test_nothing_to_find(tmp_path: Path) -> None:
    names, found = scenes(0)
    nothing = [replace(each, example=_nothing(each.example)) for each in found]
    dataset, engine = engine_of(names, nothing)
    folder.write(tmp_path, dataset, engine, {}, title="title", conf=0.001)
    assert not CURVES & names_in(tmp_path)


def _nothing(example: Example) -> Example:
    none: Any = np.zeros(0)
    return replace(
        example, class_id=none.astype(np.int64), xyxy=none.reshape(0, 4), area=none, crowd=none.astype(bool)
    )


CORNERS = (0.1, 0.2, 0.5, 0.2, 0.5, 0.6, 0.1, 0.6)
PERSON = np.array([[0.5, 0.5, 2.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        (BOXES, ()),
        (RotatedBoxes(), (CORNERS,)),
        (Masks(), ((np.reshape(CORNERS, (-1, 2)),),)),
        (Keypoints((2, 3), (0.5, 0.5)), (PERSON,)),
    ],
)
def test_labels_are_drawn_with_what_is_measured(shape: Shape, given: tuple[Any, ...]) -> None:
    example = Example(
        *(Path("a.png"), 0, np.array([1]), np.array([[0.1, 0.2, 0.5, 0.6]]), True),
        *(np.full(1, np.nan), np.zeros(1, bool)),
        shapes=given,
    )
    marks = label_marks(BoxDataset(Path("data.yaml"), NAMES, (), shape=shape), example, (100, 200))
    (box,) = marks.boxes
    assert box.xyxy == pytest.approx((20, 20, 100, 60))
    assert (box.class_id, box.label) == (1, NAMES[1])
    assert len(box.corners) == (4 if shape.name == "rotated" else 0)
    if box.corners:
        around = [(20, 20), (20, 60), (100, 20), (100, 60)]
        np.testing.assert_allclose(sorted(box.corners), around, atol=0.01)
    assert len(marks.masks) == (shape.name == "mask")
    assert [skeleton.points for skeleton in marks.skeletons] == (
        [((100, 50), None)] if shape.name == "keypoint" else []
    )


def test_sheets_show_the_sure_ones_and_leave_out_what_is_gone(tmp_path: Path) -> None:
    there, gone = tmp_path / "there.png", tmp_path / "gone.png"
    cv2.imwrite(str(there), np.zeros((100, 200, 3), np.uint8))
    box = np.array([[20, 20, 100, 60]], np.float32)
    columns = np.zeros(1, np.int32), NAMES, (100, 200)
    sure = Detections(box, np.array([0.9], np.float32), *columns)
    unsure = Detections(box, np.array([0.2], np.float32), *columns)
    none: Any = np.zeros(0)
    empty = Example(there, 0, none.astype(np.int64), none.reshape(0, 4), True, none, none.astype(bool))
    dataset = BoxDataset(Path("data.yaml"), NAMES, ())
    labels, of_sure = sheets(dataset, [(empty, sure), (replace(empty, path=gone), sure)]) or (none, none)
    _, of_unsure = sheets(dataset, [(empty, unsure)]) or (none, none)
    np.testing.assert_array_equal(labels, of_unsure)  # nothing is drawn on either
    assert (of_sure != labels).any()
    assert labels.shape == (480, 480, 3)
    assert sheets(dataset, [(replace(empty, path=gone), sure)]) is None
    assert sheets(dataset, []) is None


def test_the_label_of_a_whole_image_is_a_line() -> None:
    dataset = Dataset(Path("data"), NAMES, ())
    (line,) = label_marks(dataset, ClassExample(Path("a.png"), 2), (10, 10)).lines
    assert line.text == NAMES[2]
