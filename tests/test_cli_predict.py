"""`yolo-max predict` as its users meet it: what it writes, says, and returns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_weights, read_tree, write_image

from yolo_max.cli import run
from yolo_max.support.errors import ExitCode
from yolo_max.weights.load import Weights

pytestmark = pytest.mark.usefixtures("fake_network")


def read_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.err == ""
    (line,) = captured.out.splitlines()
    summary = json.loads(line)
    assert isinstance(summary, dict)
    return summary


def test_detect_is_predict(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("predict", "detect"):
        assert run([verb, "photos", "--no-times", "--save-txt", "-o", verb]) == 0
    assert read_tree(Path("detect")) == read_tree(Path("predict"))
    capsys.readouterr()
    assert run(["--help"]) == 0
    assert " detect " not in capsys.readouterr().out  # one verb is enough to learn


def test_a_folder(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "photos"]) == 0
    out = capsys.readouterr().out
    assert "objects in 2 images" in out
    assert "Results are in runs/predict." in out
    assert {str(path) for path in read_tree(Path("runs/predict"))} == {
        *("a.jpg", "b.png", "predictions.jsonl", "run.json")
    }


def test_every_output(photos: Path) -> None:
    assert run(["predict", "photos", "-r", "-o", "out", "--save-txt", "--save-conf", "--save-csv"]) == 0
    assert {str(path) for path in read_tree(Path("out"))} == {
        *("a.jpg", "b.png", "sub/c.jpg", "predictions.jsonl", "predictions.csv", "run.json"),
        *("labels/a.txt", "labels/b.txt", "labels/sub/c.txt"),
    }
    assert all(len(line.split()) == 6 for line in Path("out/labels/a.txt").read_text().splitlines())


def test_files_and_globs(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "photos/a.jpg", "photos/*/*.jpg", "--json"]) == 0
    assert read_json(capsys)["images"] == 2


def test_json_is_all_there_is_on_stdout(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.jpg").touch()
    assert run(["predict", "photos", "--json", "--no-save"]) == ExitCode.SOME_IMAGES_FAILED
    summary = read_json(capsys)
    assert summary["images"] == 3
    assert summary["failed"] == 1
    assert summary["finished"] is True
    assert [failure["path"] for failure in summary["failures"]] == ["photos/broken.jpg"]
    assert summary["objects"] == sum(each["objects"] for each in summary["classes"].values()) > 0
    assert summary["settings"]["conf"] == 0.25
    assert summary["mean_times_ms"].keys() == {"decode", "letterbox", "infer", "postprocess"}


SKIPPED = ("one.HEIC", "two.heic", "clip.mp4", "old/run.json", "old/predictions.jsonl")


def test_what_is_skipped_is_said_and_recorded(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolo_max.images.suffixes.reads_heif", lambda: False)
    monkeypatch.setattr("yolo_max.images.suffixes.reads_video", lambda: False)
    for name in SKIPPED:
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).touch()
    assert run(["predict", "photos", "-r"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "objects in 3 images" in out
    assert "2 skipped (photos/one.HEIC, ...): HEIC images " in out
    assert "1 skipped (photos/clip.mp4): videos are read with PyAV; pip install 'yolo-max[video]'." in out
    assert "1 skipped (photos/old): the results of earlier runs are not sources unless" in out
    assert "left to do" not in out
    assert run(["predict", "photos", "-r", "--json", "-o", "out"]) == ExitCode.OK
    skipped = read_json(capsys)["skipped"]
    assert {each["path"] for each in skipped} == {
        *("photos/one.HEIC", "photos/two.heic", "photos/clip.mp4", "photos/old")
    }
    assert json.loads(Path("out/run.json").read_text())["skipped"] == skipped


def test_subfolders_are_said_to_need_recursive(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "photos"]) == ExitCode.OK
    assert "1 skipped (photos/sub): subfolders are read only with --recursive.\n" in capsys.readouterr().out
    assert run(["predict", "photos", "-r", "-o", "out"]) == ExitCode.OK
    assert "skipped" not in capsys.readouterr().out


def test_what_failed_is_not_part_of_the_rate(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "sub/broken.jpg").touch()
    assert run(["predict", "photos/sub/broken.jpg"]) == ExitCode.SOME_IMAGES_FAILED
    assert "0 objects in 0 images · 1 could not be read\n" in capsys.readouterr().out
    assert run(["predict", "photos/sub", "--json"]) == ExitCode.SOME_IMAGES_FAILED
    summary = read_json(capsys)
    # One image; about so, since it takes but a few of the milliseconds that seconds are rounded to.
    assert 0.5 < summary["images_per_second"] * summary["seconds"] < 1.5
    assert run(["predict", "photos/sub", "--json", "--resume"]) == ExitCode.SOME_IMAGES_FAILED
    assert read_json(capsys)["images_per_second"] == 0


def test_confidences_are_put_into_labels_even_if_only_they_are_asked_for(photos: Path) -> None:
    assert run(["predict", "photos", "--save-conf"]) == 0
    assert all(len(line.split()) == 6 for line in Path("runs/predict/labels/a.txt").read_text().splitlines())


@pytest.mark.parametrize(
    ("broken", "code", "said"),
    [
        (False, ExitCode.OK, ""),  # nothing at all
        (True, ExitCode.SOME_IMAGES_FAILED, "photos/broken.jpg: it is empty\n"),  # which image, and why
    ],
)
def test_quiet_says_nothing_but_errors(
    broken: bool, code: ExitCode, said: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if broken:
        (photos / "broken.jpg").touch()
    assert run(["predict", "photos", "--quiet"]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", said)


def test_a_failure_is_a_line_and_the_rest_is_done(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "aa\n\x1b[31m.jpg").touch()
    assert run(["predict", "photos"]) == ExitCode.SOME_IMAGES_FAILED
    captured = capsys.readouterr()
    assert "photos/aa\\n\\x1b[31m.jpg: it is empty" in captured.err.splitlines()
    assert "1 could not be read" in captured.out
    assert Path("runs/predict/b.png").exists()


def test_strict_stops_at_the_first_failure(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "aa.jpg").touch()
    assert run(["predict", "photos", "--strict", "--json"]) == ExitCode.SOME_IMAGES_FAILED
    summary = read_json(capsys)
    assert (summary["images"], summary["finished"]) == (2, False)
    lines = Path("runs/predict/predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["photos/a.jpg", "photos/aa.jpg"]


def test_large_images_are_refused_on_request(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(photos / "large.png", 1, (200, 300))
    arguments = ["predict", "photos", "--json", "--max-pixels", "59999"]
    assert run(arguments) == ExitCode.SOME_IMAGES_FAILED
    (failure,) = read_json(capsys)["failures"]
    assert failure["path"] == "photos/large.png"
    assert "300 x 200 pixels are more than the limit of 59,999" in failure["error"]
    assert run([*arguments[:-1], "60000"]) == ExitCode.OK


def test_json_has_what_the_manifest_has(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "broken.jpg").touch()
    for more in ([], ["--resume"]):
        assert run(["predict", "photos", "--json", "-o", "out", *more]) == ExitCode.SOME_IMAGES_FAILED
        lines = Path("out/predictions.jsonl").read_text().splitlines()
        summary = read_json(capsys)
        assert summary["predictions"] == [json.loads(line) for line in lines]
        assert summary["out"] == "out"
    assert sum(len(each.get("boxes", ())) for each in summary["predictions"]) == summary["objects"] > 0


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        (["--no-save"], None),  # everything is printed
        (["--no-save", "--save-txt"], "runs/predict"),  # labels have to go somewhere
        (["--no-save", "--save-csv"], "runs/predict"),
        (["--no-save", "--resume"], "runs/predict"),  # there may be a run to finish
        (["--no-save", "-o", "out"], "out"),  # a folder that is named is wanted
        ([], "runs/predict"),
    ],
)
def test_json_without_files_leaves_no_folder(
    photos: Path, capsys: pytest.CaptureFixture[str], options: list[str], folder: str | None
) -> None:
    before = set(Path().iterdir())
    assert run(["predict", "photos", "--json", *options]) == 0
    summary = read_json(capsys)
    assert summary["out"] == folder
    assert summary["finished"]
    assert len(summary["predictions"]) == 2
    made = {str(path) for path in Path().iterdir() if path not in before}
    assert made == (set() if folder is None else {folder.partition("/")[0]})


def test_each_run_gets_a_folder_and_a_resume_adds_to_the_latest(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "photos", "--json"]) == 0
    first = read_tree(Path("runs/predict"))
    assert run(["predict", "photos", "--json", "--conf", "0.5"]) == 0
    assert run(["predict", "missing.jpg", "--json"]) == ExitCode.SOURCE
    write_image(photos / "d.jpg", 4)
    assert run(["predict", "photos", "--json", "--conf", "0.5", "--resume"]) == 0
    summaries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["resumed"], each["images"], each["out"]) for each in summaries] == [
        (0, 2, "runs/predict"),
        (0, 2, "runs/predict-2"),
        (2, 3, "runs/predict-2"),
    ]
    assert read_tree(Path("runs/predict")) == first
    assert {path.name for path in Path("runs").iterdir()} == {"predict", "predict-2"}


def test_a_resume_takes_its_sources_from_the_run(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "photos", "-r", "--json"]) == 0
    write_image(photos / "d.jpg", 4)
    assert run(["predict", "--json", "--resume"]) == 0
    assert run(["predict", "--json", "--resume", "-o", "runs/predict"]) == 0
    summaries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["resumed"], each["images"]) for each in summaries] == [(0, 3), (3, 4), (4, 4)]
    path = Path("runs/predict/run.json")
    settings = json.loads(path.read_text())
    settings["settings"]["sources"] = "photos"  # each letter would be one
    path.write_text(json.dumps(settings))
    assert run(["predict", "--resume"]) == ExitCode.USAGE
    assert "runs/predict does not say what its sources were; give them." in capsys.readouterr().err
    assert run(["predict", "--resume", "-o", "other"]) == ExitCode.USAGE
    assert "there is no run in other to resume; name its folder with --out." in capsys.readouterr().err
    assert not Path("other").exists()


def test_a_resume_takes_its_weights_from_the_run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(spec: str) -> Weights:
        asked.append(spec)
        return replace(fake_weights(), path=Path(spec))

    monkeypatch.setattr("yolo_max.predict.predictor.load_weights", load)
    for arguments in (
        ["photos", "-w", "models/own.pt"],
        ["--resume"],
        ["--resume", "-w", "copy.pt"],  # which has the same weights
        ["--resume"],
        ["photos"],
    ):
        assert run(["predict", "--quiet", *arguments]) == ExitCode.OK
    own, copy = (str(Path(name).absolute()) for name in ("models/own.pt", "copy.pt"))
    assert asked == ["models/own.pt", own, "copy.pt", copy, "yolov8n"]


def test_results_of_earlier_runs_are_no_sources(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "photos"]) == 0
    assert run(["predict", ".", "-r", "--no-save"]) == 0
    assert run(["predict", "**/*.jpg", "--no-save"]) == 0
    assert "objects in 3 images" in capsys.readouterr().out
    records = Path("runs/predict-3/predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in records] == ["photos/a.jpg", "photos/sub/c.jpg"]
    assert run(["predict", "runs", "-r"]) == ExitCode.SOURCE
    assert (
        "the results of earlier runs are not sources unless their folder is named" in capsys.readouterr().err
    )
    assert run(["predict", "runs/predict", "--no-save"]) == 0


def test_a_run_in_a_named_folder_is_replaced_on_request(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "photos", "-r", "-o", "out", "--save-txt", "--save-csv"]) == 0
    before = read_tree(Path("out"))
    assert run(["predict", "photos/b.png", "-o", "out"]) == ExitCode.OUTPUT
    assert "out holds the results of a finished run" in capsys.readouterr().err
    assert run(["predict", "photos/b.png", "-o", "out", "--overwrite", "--conf", "2"]) == ExitCode.USAGE
    assert read_tree(Path("out")) == before
    assert run(["predict", "photos/b.png", "-o", "out", "--overwrite"]) == 0
    assert {str(path) for path in read_tree(Path("out"))} == {"b.png", "predictions.jsonl", "run.json"}


def test_a_resume_is_refused_from_another_folder(photos: Path, tmp_path: Path, monkeypatch: Any) -> None:
    assert run(["predict", "photos", "-o", str(tmp_path / "out")]) == 0
    write_image(tmp_path / "elsewhere" / "photos" / "a.jpg", 9)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["predict", "photos", "-o", str(tmp_path / "out"), "--resume"]) == ExitCode.USAGE
