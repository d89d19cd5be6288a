"""`yolo-max val`: what it prints, writes and returns."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import comparisons
import pytest
import yaml  # type: ignore[import-untyped]
from cli_process import installed
from fakes import NAMES, fake_weights
from rich.console import Console

from yolo_max import cli
from yolo_max.cli.val import show
from yolo_max.support.errors import ExitCode
from yolo_max.verify.val.dataset import BoxDataset
from yolo_max.verify.val.evaluate import Accuracy, AveragePrecision, ClassAccuracy
from yolo_max.verify.val.load import load_dataset
from yolo_max.verify.val.validate import EngineAccuracy, Validation


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, data: Path) -> Any:
    """Runs ``yolo-max val`` on fake engines, in this process."""
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: fake_weights())
    monkeypatch.setattr("yolo_max.runtime.host.Disturbance.summary", lambda _: {})

    def run(*arguments: str, data: Path | str = data, **nudges: Any) -> int:
        comparisons.install(monkeypatch, fake_weights(), **nudges)
        return cli.run(["val", str(data), *arguments])

    return run


def test_prints_both_engines_in_one_table(command: Any, capfd: Any) -> None:
    assert command("--engine", "both") == ExitCode.OK
    out = capfd.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["mAP50-95", "mAP50-95", "mAP50", "mAP50"]
    assert lines[1] == ["class", "objects", "PyTorch", "MAX", "PyTorch", "MAX", "images"]
    assert {lines[i][0] for i in (2, 3, 4)} == set(NAMES.values())
    objects = [int(lines[i][1]) for i in (2, 3, 4)]
    assert objects == sorted(objects, reverse=True)
    assert lines[5] == ["all", str(sum(objects)), *["1.0000"] * 4, "6"]
    assert "for a benchmark, use yolo-max bench" in " ".join(out.split())
    assert ["MAX's", "mAP50-95", "minus", "PyTorch's:", "+0.00000."] in lines


def _validation(classes: int, value: float = 0.12345) -> Validation:
    """One engine over so many classes, class 0 with the fewest objects."""
    figures = AveragePrecision(*[value] * 6)
    each = tuple(ClassAccuracy(i, f"class [{i}]", 1, i + 1, figures) for i in range(classes))
    accuracy = Accuracy(8, sum(row.objects for row in each), figures, each)
    dataset = BoxDataset(Path("data.yaml"), {i: row.name for i, row in enumerate(each)}, ())
    engine = EngineAccuracy(
        accuracy, [], {"mAP50-95": 0.1, "mAP50": 0.2}, engine="max", info={}, infer_ms=40.0
    )
    return Validation(dataset, (engine,), {})


def _shown(validation: Validation, width: int = 120, **options: bool) -> list[str]:
    out = io.StringIO()
    show(validation, Console(file=out, width=width), **options)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("classes", "all_classes", "names"),
    [
        (3, False, ["class [2]", "class [1]", "class [0]"]),  # most objects first
        (20, False, [f"class [{i}]" for i in reversed(range(20))]),
        (22, False, [*(f"class [{i}]" for i in reversed(range(2, 22))), "2 more"]),
        (22, True, [f"class [{i}]" for i in range(22)]),  # by id
    ],
)
def test_which_classes_are_shown(classes: int, all_classes: bool, names: list[str]) -> None:
    lines = _shown(_validation(classes), all_classes=all_classes)
    table = lines[1 : lines.index("")]
    assert [line.partition("  ")[0].strip() for line in table] == [*names, "all"]
    objects = [int(line.partition("  ")[2].split()[0]) for line in table]
    assert sum(objects[:-1]) == objects[-1]  # those that are left out are in "more"


def test_how_the_second_figures_differ_is_said() -> None:
    one = _validation(1)
    lines = _shown(replace(one, engines=(replace(one.engines[0], rules="other rules"),)), 200)
    assert "By the rules of yolo val (other rules): MAX mAP50-95 0.1000, mAP50 0.2000." in lines


@pytest.mark.parametrize("width", [30, 50, 80, 120])
def test_columns_are_left_out_and_figures_never_cut(width: int) -> None:
    lines = _shown(_validation(2), width)
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]
    assert "0.1235" in next(line for line in lines if line.startswith("all"))
    assert any("No room for" in line for line in lines) == (width < 80)


@pytest.mark.parametrize(("width", "shown"), [(38, 1), (46, 1), (50, 1), (55, 2), (60, 2), (80, 2)])
def test_two_engines_are_shown_in_pairs(width: int, shown: int) -> None:
    one = _validation(2)
    other = replace(one.engines[0], engine="torch")
    lines = _shown(replace(one, engines=(other, one.engines[0])), width)
    assert lines[1].split().count("PyTorch") == lines[1].split().count("MAX") == shown


def test_what_is_missing_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.run(["val", str(tmp_path / "none.yaml"), "-w", str(tmp_path / "none.pt")]) == ExitCode.ENGINE
    said = " ".join(capfd.readouterr().err.split())
    assert "faster-coco-eval; install it with `pip install faster-coco-eval`." in said


def test_exit_codes(command: Any, data: Path, capfd: Any) -> None:
    assert command("--engine", "both", max=comparisons.without_best) == ExitCode.PARITY
    assert command("--engine", "max", max=comparisons.without_best) == ExitCode.OK
    (data.parent / "labels" / "2.txt").write_text("9 0.5 0.5 0.5 0.5")
    capfd.readouterr()
    assert command() == ExitCode.SOME_IMAGES_FAILED
    assert "Left out:" in (said := capfd.readouterr().err)
    assert "2.txt has class 9 in line 1" in said
    assert command("--engine", "jax") == ExitCode.USAGE
    assert "there is no engine 'jax'; use max, torch or both." in capfd.readouterr().err
    assert command("--split", "test") == ExitCode.USAGE


@pytest.mark.parametrize(("share", "said"), [(0.5, 1), (0.01, 0), (None, 0)])  # None: not told
def test_times_on_a_busy_machine_are_doubted(
    command: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch, share: float | None, said: int
) -> None:
    monkeypatch.setattr("yolo_max.runtime.host.Disturbance.summary", lambda _: {"others_cpu_share": share})
    assert command("--engine", "both") == ExitCode.OK
    assert capfd.readouterr().err.count("Other processes took 50% of this machine's CPU time") == said


def test_json(command: Any, capfd: Any) -> None:
    assert command("--engine", "both", "--json") == ExitCode.OK
    out, err = capfd.readouterr()
    assert err == ""
    record = json.loads(out)
    assert record["engines"]["max"]["mean"]["map50_95"] == pytest.approx(1)
    # The labels are these boxes, clipped to the image; by this formula those at its edge are not clipped.
    assert 0.9 < record["engines"]["max"]["ultralytics"]["map50_95"] < 0.995
    assert {each["name"] for each in record["engines"]["torch"]["classes"]} == set(NAMES.values())
    assert record["verdict"] == {"holds": True, "failures": []}
    assert record["differences"] == {"map50_95": 0}


def test_one_engine_has_no_verdict(command: Any, capfd: Any) -> None:
    assert command("--json") == ExitCode.OK
    assert json.loads(capfd.readouterr().out)["verdict"] == {"holds": None, "failures": []}


def test_predictions_as_coco_json(command: Any, tmp_path: Path) -> None:
    assert command("--save-json", str(tmp_path / "p.json"), "--quiet") == ExitCode.OK
    rows = json.loads((tmp_path / "p.json").read_text())
    assert rows[0].keys() == {"image_id", "file_name", "category_id", "bbox", "score"}
    assert command("--save-json", str(tmp_path / "q.json"), "--engine", "both", "--quiet") == ExitCode.OK
    assert {path.name for path in tmp_path.glob("q*")} == {"q_max.json", "q_torch.json"}
    assert json.loads((tmp_path / "q_max.json").read_text()) == rows


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["--save-json"], {"predictions.json"}),  # as a switch, which it is in Ultralytics
        (["--save-json", "--single-cls"], {"predictions.json"}),
        (["--save-json", "--engine", "both"], {"predictions_max.json", "predictions_torch.json"}),
        (["--save-json", "B.JSON"], {"B.JSON"}),
        (["--save-json", "b"], {"b"}),
        (["--cfg", "my.yaml"], {"predictions.json"}),
    ],
)
def test_predictions_may_be_saved_under_no_name(
    command: Any, words: list[str], written: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "my.yaml").write_text("save_json: true\n")
    monkeypatch.chdir(here)
    assert command(*[str(tmp_path / word) if word == "my.yaml" else word for word in words]) == ExitCode.OK
    assert {path.name for path in here.iterdir()} == written


def test_a_dataset_behind_the_switch_is_no_name_for_predictions(
    command: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = data.read_bytes()
    assert command(str(data), data="--save-json") == ExitCode.OK
    assert data.read_bytes() == before
    assert Path("predictions.json").exists()


def _pycocotools(truth: dict[str, Any], predictions: Path) -> float:
    """mAP50-95 of saved predictions under a dataset's own annotations."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco: Any = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(str(predictions)), "bbox")
        evaluator.params.maxDets = [1, 10, 300]
        evaluator.evaluate()
        evaluator.accumulate()
    precision = evaluator.eval["precision"][:, :, :, 0, -1]
    return float(precision[precision > -1].mean())


def test_saved_predictions_match_the_annotations_of_the_dataset(
    command: Any, data: Path, tmp_path: Path, capfd: Any
) -> None:
    """Annotations as COCO's converters write them: images by the number in their name, classes from 1 on."""
    assert command("--save-json", str(tmp_path / "p.json"), "--json") == ExitCode.OK
    figure = json.loads(capfd.readouterr().out)["engines"]["max"]["mean"]["map50_95"]
    truth: dict[str, Any] = {"images": [], "annotations": []}
    truth["categories"] = [{"id": i + 1, "name": name} for i, name in NAMES.items()]
    for example in load_dataset(data).examples:
        number = int(example.path.stem)
        truth["images"].append({"id": number, "file_name": example.path.name, "height": 40, "width": 60})
        for class_id, (x1, y1, x2, y2) in zip(example.class_id, example.pixels((40, 60)), strict=True):
            row = {"id": len(truth["annotations"]) + 1, "image_id": number, "category_id": int(class_id) + 1}
            area = (x2 - x1) * (y2 - y1)
            truth["annotations"].append(
                {**row, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "iscrowd": 0}
            )
    assert _pycocotools(truth, tmp_path / "p.json") == pytest.approx(figure, abs=1e-3)


def test_classes_of_other_names(command: Any, data: Path, capfd: Any) -> None:
    data.write_text(yaml.safe_dump({"val": "images", "names": ["cat", "dog", "bird"]}))
    assert command() == ExitCode.USAGE
    assert "use --classes-by-id or --single-cls." in " ".join(capfd.readouterr().err.split())
    assert command("--classes-by-id", "--json") == ExitCode.OK
    record = json.loads(capfd.readouterr().out)["engines"]["max"]
    assert record["mean"]["map50_95"] == pytest.approx(1)
    assert {each["name"] for each in record["classes"]} <= {"cat", "dog", "bird"}
    assert command("--single-cls", "--json") == ExitCode.OK
    record = json.loads(capfd.readouterr().out)["engines"]["max"]
    assert [each["name"] for each in record["classes"]] == ["item"]
    assert command("--single-cls", "--classes-by-id") == ExitCode.USAGE


def test_an_image_of_another_size_is_warned_of(command: Any, data: Path, capfd: Any) -> None:
    image = {"id": 0, "file_name": "0.png", "width": 120, "height": 80}
    annotation = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 2, 30, 40]}
    categories = [{"id": i + 1, "name": name} for i, name in NAMES.items()]
    content = {"images": [image], "annotations": [annotation], "categories": categories}
    (data.parent / "a.json").write_text(json.dumps(content))
    assert command(data=data.parent / "a.json") == ExitCode.OK
    said = " ".join(capfd.readouterr().err.split())
    assert (
        "Warning: 1 image of another size than the annotations state (0.png: 60 x 40, not 120 x 80)" in said
    )


@pytest.mark.usefixtures("coco_engine")  # so that its graph is compiled
def test_both_engines_on_photographs(coco_weights: Path, shared: Path) -> None:
    """MAX's mAP is PyTorch's, within 0.0005."""
    dataset = str(shared / "coco" / "coco64.yaml")
    done = installed("val", dataset, "--weights", str(coco_weights), "--engine", "both", "--json")
    assert done.returncode == ExitCode.OK, done.stderr + done.stdout[:2000]
    record = json.loads(done.stdout)
    assert abs(record["differences"]["map50_95"]) <= 5e-4
    assert record["engines"]["torch"]["images"] == 64
    assert record["engines"]["torch"]["mean"]["map50_95"] > 0.4
