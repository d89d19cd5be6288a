"""What `yolo-max predict` writes besides pictures and records, where it goes, and what pipes get."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from fakes import read_tree

from yolo_max.cli import run
from yolo_max.support.atomic import TEMPORARY_PREFIX
from yolo_max.support.errors import ExitCode

pytestmark = pytest.mark.usefixtures("fake_network")


def records(folder: str = "out") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "predictions.jsonl").open(encoding="utf-8")]


def test_crops_are_listed_and_have_the_boxes_size(photos: Path) -> None:
    assert run(["predict", "photos", "-r", "--save-crop", "--no-save", "-o", "out"]) == 0
    seen = 0
    for record in records():
        assert len(record["crops"]) == len(record["boxes"])
        for name, box in zip(record["crops"], record["boxes"], strict=True):
            assert name.startswith(f"crops/{box['class_name']}/")
            picture = cv2.imread(str(Path("out", name)))
            assert picture is not None
            left, top, right, bottom = box["xyxy"]
            height, width = record["image_size"]
            assert picture.shape[1] <= min((right - left) * 1.02 + 11, width)
            assert picture.shape[0] <= min((bottom - top) * 1.02 + 11, height)
            seen += 1
    assert seen > 3


def test_crops_go_with_their_run(photos: Path) -> None:
    assert run(["predict", "photos", "--save-crop", "-o", "out"]) == 0
    assert run(["predict", "photos", "-o", "out", "--overwrite"]) == 0
    assert not Path("out/crops").exists()


def test_an_image_whose_crop_is_gone_is_done_again(photos: Path) -> None:
    words = ["predict", "photos", "--save-crop", "-o", "out", "--no-times"]
    assert run(words) == 0
    before = read_tree(Path("out"))
    manifest = Path("out/predictions.jsonl")
    settings = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**settings, "finished": False}))
    Path("out", records()[0]["crops"][0]).unlink()
    assert run([*words, "--resume"]) == 0
    assert read_tree(Path("out")) == before
    assert manifest.is_file()


def test_json_is_cocos_form(photos: Path) -> None:
    assert run(["predict", "photos", "--save-json", "-o", "out"]) == 0
    found = json.loads(Path("out/predictions.json").read_text())
    boxes = [(Path(each["path"]).stem, box) for each in records() for box in each["boxes"]]
    assert len(found) == len(boxes) > 0
    for row, (stem, box) in zip(found, boxes, strict=True):
        assert (row["image_id"], row["category_id"], row["score"]) == (
            stem,
            box["class_id"],
            box["confidence"],
        )
        left, top, right, bottom = box["xyxy"]
        assert row["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=1e-3)


def test_parquet_is_the_table_with_its_types(photos: Path) -> None:
    polars = pytest.importorskip("polars")
    assert run(["predict", "photos", "--save-parquet", "--save-csv", "-o", "out"]) == 0
    frame = polars.read_parquet("out/predictions.parquet")
    assert frame.equals(polars.read_csv("out/predictions.csv"))
    assert frame.schema["confidence"] == polars.Float64
    assert frame.schema["class_id"] == polars.Int64


def test_parquet_of_nothing_has_its_columns(photos: Path) -> None:
    polars = pytest.importorskip("polars")
    assert run(["predict", "photos", "--save-parquet", "--conf", "1", "-o", "out"]) == 0
    assert polars.read_parquet("out/predictions.parquet").columns[:2] == ["path", "class_id"]


def test_what_cannot_be_written_is_refused_at_once(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    assert run(["predict", "photos", "--save-parquet", "-o", "out"]) == ExitCode.ENGINE
    assert "pip install 'yolo-max[parquet]'" in capsys.readouterr().err.replace("\n", " ")
    assert not Path("out/predictions.jsonl").exists()


def test_lines_are_all_there_is_on_stdout(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    words = ["predict", "photos", "--no-times", "--format", "jsonl"]
    assert run([*words, "-o", "out"]) == ExitCode.SOME_IMAGES_FAILED
    captured = capsys.readouterr()
    assert captured.err == ""
    assert [json.loads(line) for line in captured.out.splitlines()] == records()
    assert captured.out.isascii()
    assert run([*words, "--no-save"]) == ExitCode.SOME_IMAGES_FAILED  # and leaves no folder
    plain = [{k: v for k, v in each.items() if k != "annotated"} for each in records()]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == plain
    assert not Path("runs").exists()


def test_a_line_comes_as_soon_as_its_image_is_done(photos: Path) -> None:
    """The reader gets the first while the last is still in the network."""
    script = Path(__file__).parent / "support" / "fake_cli.py"
    words = ["predict", *["photos/a.jpg", "photos/b.png"], "--no-save", "--format", "jsonl", "--workers", "1"]
    environment = {**__import__("os").environ, "FAKE_NAP": "0.5"}
    with subprocess.Popen(
        [sys.executable, str(script), *words], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["path"].endswith("a.jpg")
        assert process.poll() is None
        assert json.loads(process.stdout.readline())["path"].endswith("b.png")
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "xml"], "--format is 'xml', but it must be one of text, json, jsonl"),
        (["--format", "jsonl", "--json"], "two forms"),
        (["--out", "a", "--name", "b"], "--out names the folder by itself"),
        (["--color-mode", "random"], "color_mode is 'random', but it must be class or instance"),
        (["--cfg", "missing.yaml"], "missing.yaml cannot be read"),
    ],
)
def test_what_makes_no_sense(
    photos: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "photos", *words]) == ExitCode.USAGE
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_project_has_named_runs(photos: Path) -> None:
    words = ["predict", "photos", "--no-save"]
    assert run([*words, "--project", "work", "--name", "street"]) == 0
    assert run([*words, "--project", "work", "--name", "street"]) == 0
    assert run([*words, "--project", "work"]) == 0
    assert run([*words, "--name", "street"]) == 0
    runs = sorted(str(path.parent) for path in Path().rglob("run.json"))
    assert runs == ["runs/street", "work/predict", "work/street", "work/street-2"]
    assert run([*words, "--project", "work", "--name", "street", "--exist-ok"]) == 0
    assert len(list(Path().rglob("run.json"))) == 4


@pytest.mark.parametrize(
    "text",
    [
        "conf: 0.5\nclasses: [0, star]\nsave: false\nsave_txt: true\nimgsz: [64, 96]\nname: from-file\n",
        "conf: 0.5\nclasses: 0,star\nsave: no\nsave-txt: yes\nimgsz: 64,96\nname: from-file\nmodel: x.pt\n",
    ],
)
def test_options_from_a_file_are_those_that_are_typed(photos: Path, text: str) -> None:
    Path("my.yaml").write_text(text)
    typed = [
        "--conf",
        "0.5",
        "--classes",
        "0,star",
        "--no-save",
        "--save-txt",
        "--imgsz",
        "64,96",
        "--name",
        "typed",
    ]
    assert run(["predict", "photos", "--cfg", "my.yaml"]) == 0
    assert run(["predict", "photos", *typed, "--name", "typed"]) == 0
    read = [
        json.loads(Path("runs", name, "run.json").read_text())["settings"] for name in ("from-file", "typed")
    ]
    assert read[0] == read[1]
    assert read[0]["conf"] == 0.5


def test_a_file_may_name_the_source(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.yaml").write_text("source: photos/a.jpg\njson: true\n")
    assert run(["predict", "--cfg", "my.yaml", "-o", "out"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1
    assert run(["predict", "photos", "--cfg", "my.yaml", "-o", "all"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2


def test_false_is_an_option_that_is_not_there(photos: Path) -> None:
    text = "".join(f"{name}: false\n" for name in ("conf", "classes", "tracker", "save_txt", "name"))
    Path("my.yaml").write_text(text)
    assert run(["predict", "photos", "--cfg", "my.yaml", "-o", "file"]) == 0
    assert run(["predict", "photos", "-o", "none"]) == 0
    file, none = (json.loads(Path(out, "run.json").read_text())["settings"] for out in ("file", "none"))
    assert file == none


def test_what_is_typed_counts_more_than_the_file(photos: Path) -> None:
    Path("my.yaml").write_text("conf: 0.5\n")
    assert run(["predict", "photos", "--cfg", "my.yaml", "--conf", "0.3", "-o", "out"]) == 0
    assert json.loads(Path("out/run.json").read_text())["settings"]["conf"] == 0.3


def test_a_file_of_ultralytics_is_read(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is off or empty asks for nothing; what is for training is said to be ignored."""
    text = "task: detect\nmode: predict\nhalf: false\nclasses:\nconf: 0.5\nlr0: 0.01\nvisualize: false\n"
    Path("args.yaml").write_text(f"{text}hide_labels: true\nno_save: true\n")
    assert run(["predict", "photos", "--cfg", "args.yaml", "-o", "out"]) == 0
    assert "changes nothing here: task, mode, lr0." in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in Path("out").iterdir() if path.suffix in (".jpg", ".png")] == []
    settings = json.loads(Path("out/run.json").read_text())["settings"]
    assert (settings["conf"], settings["classes"]) == (0.5, None)


def test_ultralytics_own_file_is_read_whole(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has the options of all modes."""
    from ultralytics.cfg import DEFAULT_CFG_PATH

    assert run(["predict", "photos", "--cfg", str(DEFAULT_CFG_PATH), "--batch", "1", "-o", "out"]) == 0
    assert "changes nothing here: task, mode, epochs," in " ".join(capsys.readouterr().err.split())
    assert run(["val", "missing.yaml", "--cfg", str(DEFAULT_CFG_PATH)]) == ExitCode.WEIGHTS  # none are here


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("split: test\nsingle_cls: false\n", "split"),
        ("mode: predict\ntracker: botsort.yaml\nformat: onnx\n", "mode, tracker, format"),  # of other modes
    ],
)
def test_a_file_may_have_options_of_other_commands(
    photos: Path, text: str, ignored: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my.yaml").write_text(f"conf: 0.5\n{text}")
    assert run(["predict", "photos", "--cfg", "my.yaml", "-o", "out"]) == 0
    assert f"changes nothing here: {ignored}." in " ".join(capsys.readouterr().err.split())
    assert json.loads(Path("out/run.json").read_text())["settings"]["conf"] == 0.5


@pytest.mark.parametrize(("verbose", "says"), [("true", True), ("false", False)])
def test_verbose_is_the_opposite_of_quiet(
    photos: Path, verbose: str, says: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("args.yaml").write_text(f"verbose: {verbose}\n")
    assert run(["predict", "photos", "--cfg", "args.yaml", "-o", "out"]) == 0
    printed = capsys.readouterr()
    assert bool(printed.out + printed.err) is says


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tracker: botsort.yaml", "there is no tracker 'botsort.yaml'; use bytetrack."),
        ("mode: track\ntracker: botsort.yaml", "there is no tracker 'botsort.yaml'; use bytetrack."),
        ("cnf: 0.5", "my.yaml: there is no option 'cnf'; did you mean conf?"),
        ("conf: high", "conf is 'high', but it must be a number"),
        ("- conf", "my.yaml is no list of options"),
        ("as_json: true", "there is no option 'as_json'"),  # no name that anybody can type
        ("cfg: other.yaml", "there is no option 'cfg'"),
        ("conf: true", "conf is true, but it must be a value"),
        ("classes: true", "classes is true, but it must be a value"),
        ("source: true", "source is true, but it must be a value"),
        ("conf: {a: 1}", "my.yaml: conf is a dict"),
        ("a: [", "my.yaml is not YAML"),
        (
            "half: true\naugment: true\ncnf: 1",
            "use precision: bf16 for 16-bit numbers. there is no",
        ),  # all at once
        ("hide_labels: 3", "invalid value for '--show-labels'"),
    ],
)
def test_a_file_that_makes_no_sense(
    photos: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my.yaml").write_text(text)
    assert run(["predict", "photos", "--cfg", "my.yaml"]) == ExitCode.USAGE
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("command", ["compare", "val", "bench"])
def test_other_commands_read_a_file_too(
    photos: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my.yaml").write_text("threads: many")
    assert run([command, "photos", "--cfg", "my.yaml"]) == ExitCode.USAGE
    assert "threads is 'many', but it must be a whole number" in " ".join(capsys.readouterr().err.split())


def test_a_resumed_run_may_have_other_tables(photos: Path) -> None:
    assert run(["predict", "photos", "-o", "out"]) == 0
    settings = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**settings, "finished": False}))
    assert run(["predict", "photos", "-o", "out", "--resume", "--save-json", "--save-csv"]) == 0
    assert len(json.loads(Path("out/predictions.json").read_text())) > 0
    assert Path("out/predictions.csv").is_file()
    Path("out/run.json").write_text(json.dumps({**settings, "finished": False}))
    words = ["predict", "photos", "-o", "out", "--resume", "--gallery"]  # there are no thumbnails
    assert run(words) == ExitCode.USAGE


def test_a_damaged_run_names_no_file_of_ours(photos: Path, tmp_path: Path) -> None:
    """What `run.json` lists beyond the tables is not written."""
    assert run(["predict", "photos", "-o", "out"]) == 0
    settings = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**settings, "finished": False, "tables": ["a.sh"]}))
    assert run(["predict", "photos", "-o", "out", "--resume"]) == 0
    assert not Path("out/a.sh").exists()


def test_what_a_killed_run_left_half_is_removed(photos: Path) -> None:
    words = ["predict", "photos", "-o", "out", "--gallery", "--save-crop"]
    assert run(words) == 0
    settings = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**settings, "finished": False}))
    crop = Path("out", records()[0]["crops"][0])
    remnants = [folder / f"{TEMPORARY_PREFIX}x" for folder in (crop.parent, Path("out/thumbnails"))]
    for remnant in remnants:
        remnant.touch()
    assert run([*words, "--resume"]) == 0
    assert not any(remnant.exists() for remnant in remnants)
