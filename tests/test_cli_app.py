from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from yolo_max import cli
from yolo_max.cli import app as commands
from yolo_max.support.errors import ExitCode
from yolo_max.support.options import PredictOptions


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        # An environment that was made for detection alone.
        ("torch", ExitCode.ENGINE, "Error: this needs torch, which is not installed; pip install torch."),
        ("ultralytics.nn.tasks", ExitCode.ENGINE, "this needs ultralytics, which is not installed"),
        # A mistake of ours.
        ("yolo_max.nowhere", ExitCode.UNEXPECTED, "unexpected ModuleNotFoundError"),
        (None, ExitCode.UNEXPECTED, "unexpected ModuleNotFoundError"),
    ],
)
def test_a_package_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capfd: Any, name: str | None, code: ExitCode, message: str
) -> None:
    def app(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(commands, "app", app)
    assert cli.run(["predict", "images"]) == code
    said = capfd.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("verb", ["predict", "compare", "val", "bench"])
def test_the_decoder_has_a_limit_of_pixels_as_well(verb: str) -> None:
    # OpenCV takes it when it is imported, and child processes inherit it.
    script = f"""
import os, sys
from yolo_max.cli import run
run([{verb!r}, "missing"])
import cv2, numpy as np
print(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = "1"
print(cv2.imdecode(cv2.imencode(".bmp", np.zeros((2, 2, 3), np.uint8))[1], cv2.IMREAD_COLOR).shape)
"""
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout.split("\n")[:2] == [str(PredictOptions.max_pixels), "(2, 2, 3)"]


LONG = "a" * 5000


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        # Names that no file system takes, wherever a path is asked for.
        (["weights", "convert", LONG], ExitCode.USAGE, "is too long for a path; use a shorter one."),
        (["weights", "info", f"{LONG}/x"], ExitCode.WEIGHTS, "there is no weights file"),
        (["val", f"{LONG}.yaml", "-w", "DEMO"], ExitCode.USAGE, "is too long for a path"),
        (["predict", LONG], ExitCode.SOURCE, "does not exist"),
        # Brackets without end, where a file of ours is expected.
        (["bench", "--from", "deep.json"], ExitCode.SOURCE, "was not written by yolo-max bench"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(
    arguments: list[str],
    code: ExitCode,
    message: str,
    demo_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("deep.json").write_text("[" * 100_000)
    assert cli.run([str(demo_weights) if each == "DEMO" else each for each in arguments]) == code
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["compare", "SCENE"], ExitCode.OUTPUT, "runs/compare cannot be written: No such file or directory"),
        (["predict", "a.jpg"], ExitCode.SOURCE, "a.jpg does not exist"),
    ],
)
def test_a_working_directory_that_was_removed(
    command: list[str],
    code: ExitCode,
    message: str,
    demo_weights: Path,
    scenes: list[Path],
    tmp_path: Path,
    monkeypatch: Any,
    capfd: Any,
) -> None:
    command = [str(scenes[0]) if each == "SCENE" else each for each in command]
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        Path.cwd()
    assert cli.run([*command, "-w", str(demo_weights)]) == code
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


def test_memory_that_runs_out(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    def app(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(commands, "app", app)
    assert cli.run(["predict", "images"]) == ExitCode.ENGINE
    assert capfd.readouterr().err.startswith("Error: memory ran out; use ")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["we"], ["weights"]),  # a command
        (["weights", "comp"], ["compile"]),  # of a group
        (["predict", "--save-c"], ["--save-conf", "--save-crop", "--save-csv"]),  # options
        (["predict", "-w", "yolov8n-s"], ["yolov8n-shapes"]),  # weights by name
        (["serve", "--token"], ["--token-file"]),
        (["predict", "phot"], []),  # files are the shell's
    ],
)
def test_the_shell_completes(
    typed: list[str],
    completed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.setenv("_YOLO_MAX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["yolo-max", *typed]))
    monkeypatch.setenv("COMP_CWORD", str(len(typed)))
    with pytest.raises(SystemExit):
        cli.run([])
    assert capsys.readouterr().out.split() == completed
