"""`yolo-max predict` as its users meet it: what it writes, says, and returns."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import read_tree, write_image
from fuzz_images import mutant
from image_files import files_of, scene

from yolo_max.cli import run
from yolo_max.images.read import decode
from yolo_max.runtime.cpu import available_threads
from yolo_max.support.errors import ExitCode, ImageError

UNUSED = {"torch", "torchvision", "ultralytics", "matplotlib", "scipy", "pandas", "onnxruntime", "openvino"}
FAKE_CLI = [sys.executable, str(Path(__file__).parent / "support" / "fake_cli.py")]


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
    for name in SKIPPED:
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).touch()
    assert run(["predict", "photos", "-r"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "objects in 3 images" in out
    assert "2 skipped (photos/one.HEIC, ...): HEIC images " in out
    assert "1 skipped (photos/clip.mp4): videos are not read; " in out
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


def test_an_output_that_cannot_take_every_sign_loses_nothing_else(photos: Path) -> None:
    command = [*FAKE_CLI, "predict", str(photos), "--no-save"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (ExitCode.OK, "Compiling the network.\n")
    assert r"objects in 2 images \xb7 " in done.stdout


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


def limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))


def test_hundreds_of_damaged_files_are_hundreds_of_records(tmp_path: Path) -> None:
    """Seeded mutants of every format, by the whole command: no crash, no hang, nothing lost, exit code 7."""
    rng = np.random.default_rng(0)
    files = list(files_of(scene(24, 32)).values())
    readable: dict[str, list[int] | None] = {}
    (tmp_path / "mutants").mkdir()
    for number in range(600):
        data = mutant(files[number % len(files)], files[rng.integers(len(files))], rng)
        path = Path("mutants") / f"{number:03}.jpg"  # most of them mislabelled, too
        path.write_bytes(data)
        try:
            readable[str(path)] = list(decode(data, max_pixels=4_000_000).shape[:2])
        except ImageError:
            readable[str(path)] = None
    command = [
        *FAKE_CLI,
        "predict",
        "mutants",
        "-o",
        "out",
        "--no-times",
        "--max-pixels",
        "4000000",
        "--json",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, preexec_fn=limit_memory
    )
    assert done.returncode == ExitCode.SOME_IMAGES_FAILED
    assert "Traceback" not in done.stderr  # libjpeg has its own words there
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert {record["path"]: record.get("image_size") for record in records} == readable
    assert len(records) == 600
    assert all(record["error"] for record in records if readable[record["path"]] is None)
    assert 60 < sum(size is None for size in readable.values()) < 540
    assert json.loads(done.stdout)["failed"] == sum(size is None for size in readable.values())


def test_runs_that_begin_together_get_a_folder_each(photos: Path) -> None:
    processes = [
        subprocess.Popen([*FAKE_CLI, "predict", "photos", "--quiet"], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [process.communicate()[1] for process in processes] == [b""] * 3
    assert {process.returncode for process in processes} == {0}
    assert {path.name for path in Path("runs").iterdir()} == {"predict", "predict2", "predict3"}
    trees = [read_tree(path) for path in Path("runs").iterdir()]
    assert all(tree.keys() == trees[0].keys() for tree in trees)


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
        (0, 2, "runs/predict2"),
        (2, 3, "runs/predict2"),
    ]
    assert read_tree(Path("runs/predict")) == first
    assert {path.name for path in Path("runs").iterdir()} == {"predict", "predict2"}


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


def test_results_of_earlier_runs_are_no_sources(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "photos"]) == 0
    assert run(["predict", ".", "-r", "--no-save"]) == 0
    assert run(["predict", "**/*.jpg", "--no-save"]) == 0
    assert "objects in 3 images" in capsys.readouterr().out
    records = Path("runs/predict3/predictions.jsonl").read_text().splitlines()
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


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["photos", "--conf", "nan"], 2, "conf is nan"),
        (["photos", "--conf", "2"], 2, "conf is 2.0"),
        (["photos", "--conf", "-1"], 2, "conf is -1.0"),
        (["photos", "--conf", "high"], 2, "conf is 'high', but it must be a number"),
        (["photos", "--iou", "inf"], 2, "iou is inf"),
        (["photos", "--imgsz", "0"], 2, "imgsz is 0"),
        (["photos", "--imgsz", "31"], 2, "imgsz is 31"),
        (["photos", "--imgsz", "100000"], 2, "imgsz is 100000"),
        (["photos", "--imgsz", "big"], 2, "imgsz is 'big'"),
        (["photos", "--imgsz", "1,2,3"], 2, "imgsz is [1, 2, 3]"),
        (["photos", "--classes", "sqare"], 2, "did you mean 'square'"),
        (["photos", "--classes", "0,7"], 2, "no class 7"),
        (["photos", "--max-det", "0"], 2, "max_det is 0"),
        (["photos", "--batch", "0"], 2, "batch is 0"),
        (["photos", "--batch", "9" * 30], 2, "it must be a whole number from 1 to 1024"),
        (["photos", "--classes", "9" * 5000], 2, "no class '999"),
        (["photos", "--workers", "0"], 2, "workers is 0"),
        (["photos", "--threads", "0"], 2, "threads is 0"),
        (["photos", "--line-width", "0"], 2, "line_width is 0"),
        (["photos", "--max-pixels", "0"], 2, "max_pixels is 0"),
        (["photos", "--cnof", "0.5"], 2, "there is no option '--cnof'; did you mean --conf?"),
        (["photos", "--no-sav"], 2, "there is no option '--no-sav'; did you mean --no-save?"),
        (["photos", "conf=0.5"], 2, "options are written as --name or --name value here"),
        ([], 2, "SOURCE"),
        (["missing"], 4, "missing does not exist"),
        (["photos/*.gif"], 4, "no image"),
        (["empty"], 4, "no image in empty"),
        (["nested"], 4, "--recursive"),
        (["https://example.org/a.jpg"], 4, "download it first"),
        (["photos", "--max-det", "many"], 2, "max_det is 'many', but it must be a whole number"),
        (["photos", "--threads", "1.5"], 2, "threads is '1.5', but it must be a whole number"),
        (["0"], 4, "0 would be a webcam, and only images are read"),
        (["rtsp://camera/1"], 4, "rtsp://camera/1 is a stream, and only images are read"),
        (["my street.MP4"], 4, "is a video, and only images are read; cut it into images first"),
        (["-"], 4, "- would be the standard input; images are read from files"),
        (["pipe"], 4, "pipe is a pipe or a device; images are read from files"),
        (["photos", "-o", "photos"], 4, "the output folder is never a source"),
        (["photos", "-o", "others"], 6, "--overwrite"),
        (["photos", "-o", "others/file"], 6, "others/file"),
        (["photos", "-o", "/proc/nothing"], 6, "/proc/nothing"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    photos: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    write_image(Path("nested/sub/a.jpg"), 1)
    Path("others").mkdir()
    Path("others/file").touch()
    os.mkfifo("pipe")
    before = read_tree(Path())
    assert run(["predict", *arguments]) == code
    captured = capsys.readouterr()
    (line,) = (line for line in captured.err.splitlines() if line != "Compiling the network.")
    assert line.startswith("Error: ")
    assert not line.removeprefix("Error: ")[0].isupper()
    assert message in line
    assert captured.out == ""
    assert read_tree(Path()) == before


def test_a_warning_is_a_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "photos", "--imgsz", "100,200"]) == 0
    assert "Warning: imgsz 100x200 is not a multiple of 32; 128x224 is used." in capsys.readouterr().err


def test_debug_shows_where_an_error_came_from(photos: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("YOLO_MAX_DEBUG", "")
    assert run(["predict", "photos", "--conf", "2", "--debug"]) == ExitCode.USAGE
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_error_nobody_foresaw(photos: Path, monkeypatch: Any, capsys: Any) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("on\ntwo lines")

    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", fail)
    assert run(["predict", "photos"]) == ExitCode.UNEXPECTED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: unexpected ZeroDivisionError: on two lines")


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal(columns: int, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", columns)
    assert run(["predict", "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    for code in ExitCode:
        if code is not ExitCode.PARITY:  # of `compare`
            assert f" {int(code)} " in text.replace("\n", " ")


COMMANDS = ["", "predict", "detect", "compare", "val", "bench", "weights", "cache"]
COMMANDS += ["weights convert", "weights info", "weights fetch", "cache info", "cache clear"]


@pytest.mark.parametrize("columns", [50, 80])
@pytest.mark.parametrize("command", COMMANDS)
def test_all_help_looks_alike(command: str, columns: int, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", columns)
    assert run([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    for typers in ("<", "{", "}", ">"):  # types of Python and braces, which typer shows unless told
        assert typers not in text
    assert "--debug" in text or command in ("weights", "cache")
    if command:
        lines = [
            line.split(maxsplit=1)[0] for line in text.partition("Exit codes")[2].splitlines() if line.strip()
        ]
        codes = [int(word) for word in lines if word.isdecimal()]
        assert codes == sorted(codes)
        assert {0, 1, 2, 130} <= set(codes) <= {int(code) for code in ExitCode}


def test_paragraphs_of_help_are_broken_by_the_terminal_only(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)
    assert run(["compare", "--help"]) == 0
    assert "compare.json and report.html, and says" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["weights", "cache"])
def test_a_group_without_a_command_prints_its_help(command: str, capsys: Any) -> None:
    assert run([command]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert f"Usage: yolo-max {command}" in captured.out
    assert captured.err == ""


WAITS_IN_AN_IMPORT = """
import sys, time

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            print("importing", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Finder())
from yolo_max.cli import main
main()
"""


@pytest.mark.parametrize(
    "module", ["typer", "yolo_max.cli.predict", "yolo_max.predict.predictor", "numpy", "cv2"]
)
def test_ctrl_c_while_starting_is_one_line(photos: Path, module: str) -> None:
    command = [
        sys.executable,
        "-c",
        WAITS_IN_AN_IMPORT.replace("sys.argv[1]", repr(module)),
        "predict",
        "photos",
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and what they start inherits that: tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == ExitCode.INTERRUPTED
    assert process.communicate()[1] == "Interrupted.\n"


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FAKE_CLI, "predict", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lines_of(manifest: Path) -> int:
    return manifest.read_bytes().count(b"\n") if manifest.exists() else 0


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for i in range(80):
        write_image(tmp_path / "many" / f"{i:02}.png", i)
    return tmp_path / "many"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_what_has_begun(many: Path, number: int) -> None:
    process = start("many", "-o", "out", "--no-times", FAKE_NAP="0.05")
    wait_for(lambda: lines_of(Path("out/predictions.jsonl")) >= 5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Finishing the images that have begun" in err
    assert "--resume" in out
    done = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert 5 <= len(done) < 60
    assert {path.name for path in Path("out").glob("*.png")} == {record["annotated"] for record in done}
    assert run(["predict", "many", "-o", "out", "--no-times", "--resume"]) == 0
    assert run(["predict", "many", "-o", "whole", "--no-times"]) == 0
    assert read_tree(Path("out")) == read_tree(Path("whole"))


def test_a_second_ctrl_c_stops_at_once(many: Path) -> None:
    process = start("many", "-o", "out", FAKE_NAP="100")
    wait_for(lambda: lines_of(Path("out/run.json")) > 0)
    time.sleep(0.5)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == ExitCode.INTERRUPTED
    assert time.monotonic() - begin < 20
    process.communicate()


def test_ctrl_c_while_compiling_stops_at_once(many: Path) -> None:
    process = start("many", "-o", "out", FAKE_COMPILE="100")
    assert process.stderr is not None
    assert process.stderr.readline() == "Compiling the network.\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == ExitCode.INTERRUPTED
    assert process.communicate()[1] == "Interrupted.\n"
    assert not Path("out").exists()


def test_a_reader_who_leaves_is_no_accident(photos: Path) -> None:
    process = start("photos", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) in (ExitCode.OK, ExitCode.UNEXPECTED)


def test_a_report_that_finds_no_room_is_one_line(photos: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*FAKE_CLI, "predict", "photos", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ExitCode.OUTPUT
    assert done.stderr == "Error: standard output cannot be written: No space left on device.\n"
    assert (
        run(["predict", "photos", "-o", "runs/predict", "--resume", "--json"]) == 0
    )  # the results are there


def test_nothing_is_imported_that_detecting_does_not_use(photos: Path) -> None:
    process = start("photos", "--save-txt", "--save-csv", FAKE_MODULES="1")
    modules = set(process.communicate(timeout=60)[1].split())
    assert "yolo_max.predict.folder.run" in modules
    assert not modules & UNUSED
    assert not {name for name in modules if name.startswith("yolo_max.bench")}


def test_on_a_terminal_a_bar_moves_and_the_cursor_comes_back(photos: Path) -> None:
    terminal, stderr = os.openpty()
    process = subprocess.Popen(
        [*FAKE_CLI, "predict", "photos", "-r"],
        env={
            **os.environ,
            "FAKE_NAP": "0.3",
            "FAKE_COMPILE": "0.5",
            "TERM": "xterm-256color",
            "COLUMNS": "80",
        },
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    os.close(stderr)
    shown = b""
    with suppress(OSError):  # the terminal's end, when the process has gone
        while read := os.read(terminal, 65536):
            shown += read
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Compiling the network.\r\n" in shown.decode()
    assert "0:00:0" in shown.decode()  # the time it takes
    assert "3/3" in re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert "objects in 3 images" in out
    assert "\x1b" not in out


def installed(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("yolo-max")), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_installed_command(photos: Path, tmp_path: Path, demo_weights: Path) -> None:
    assert installed("--version").stdout.startswith("yolo-max ")
    assert "predict" in installed("--help").stdout
    for arguments, code, message in (
        (["missing.jpg"], ExitCode.SOURCE, "missing.jpg does not exist"),
        (["photos"], ExitCode.WEIGHTS, "yolo-max weights fetch yolov8n"),  # what a newcomer meets
        (["photos", "-w", "photos/a.jpg"], ExitCode.WEIGHTS, "is a JPEG image"),
        (["photos", "-w", str(demo_weights), "--kernels", "slow"], ExitCode.USAGE, "'slow'"),
        (["photos", "-w", str(demo_weights), "--engine", "onnx"], ExitCode.USAGE, "'onnx'"),
    ):
        done = installed("predict", *arguments, YOLO_MAX_CACHE_DIR=str(tmp_path / "cache"))
        assert (done.returncode, done.stdout) == (code, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert message in line
        assert not Path("runs").exists()


def test_the_package_is_the_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "yolo_max", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (installed("--version").stdout, 0)


@pytest.mark.parametrize("engine", ["max", "torch"])
def test_code_that_lies_among_the_images_is_not_run(
    photos: Path, demo_weights: Path, tmp_path: Path, engine: str
) -> None:
    """The working directory and the input folder may both have come from anywhere."""
    modules = ["numpy", "cv2", "yaml", "typer", "rich", "PIL", "max", "mojo", "torch", "ultralytics", "scipy"]
    modules += ["yolo_max", "json", "sitecustomize", "usercustomize", "conftest"]
    for folder in (tmp_path, photos):
        for module in modules:
            (folder / f"{module}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    (photos / ".env").write_text("PYTHONPATH=.\n")
    options = ["-w", str(demo_weights), "--engine", engine, "--imgsz", "320", "-o", "out"]
    done = installed("predict", "photos", *options)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()


def test_the_bundled_weights_find_shapes(demo_weights: Path, scenes: list[Path]) -> None:
    """From pixels to files, importing only what that takes; the same bytes on one thread and on several."""
    code = (
        "import sys; from yolo_max.cli import run; code = run(sys.argv[1:]); "
        "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    for out, *parallel in (
        ("one", "--threads", "1", "--workers", "1"),
        ("several", "--threads", str(min(2, available_threads())), "--workers", "4", "--batch", "3"),
    ):
        arguments = [*map(str, scenes), "--weights", str(demo_weights), "--no-times", "--json", "-o", out]
        done = subprocess.run(
            [sys.executable, "-c", code, "predict", *arguments, *parallel],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not set(done.stderr.split()) & UNUSED
        summary = json.loads(done.stdout)
        assert summary["images"] == len(scenes)
        assert summary["settings"]["engine"] == "max"
        assert len(summary["classes"]) >= 4
        assert min(each["best"] for each in summary["classes"].values()) > 0.7
    assert read_tree(Path("one")) == read_tree(Path("several"))


def test_the_decoder_has_the_limit_as_well() -> None:
    # In a process of its own, as OpenCV takes it when it is imported.
    script = """
import sys
from yolo_max.cli import main
assert "cv2" not in sys.modules
sys.argv = ["yolo-max", "predict", "missing.jpg", "--max-pixels", "100"]
try:
    main()
except SystemExit:
    pass
import cv2, numpy as np
small, large = (cv2.imencode(".bmp", np.zeros((height, 10, 3), np.uint8))[1] for height in (10, 11))
print(cv2.imdecode(small, cv2.IMREAD_COLOR).shape)
try:
    cv2.imdecode(large, cv2.IMREAD_COLOR)
except cv2.error as error:
    print("MAX_IMAGE_PIXELS" in str(error))
"""
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout.split("\n")[:2] == ["(10, 10, 3)", "True"]
