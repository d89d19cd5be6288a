"""Mistakes on the command line: one line, an exit code, and nothing changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fakes import read_tree, write_image

from yolo_max.cli import run
from yolo_max.support.errors import ExitCode

pytestmark = pytest.mark.usefixtures("fake_network")


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
        (["https://example.org/a.jpg"], 4, "is an address, which is read only with --allow-remote"),
        (["photos", "--max-det", "many"], 2, "max_det is 'many', but it must be a whole number"),
        (["photos", "--threads", "1.5"], 2, "threads is '1.5', but it must be a whole number"),
        (["rtsp://camera/1"], 4, "is an address, which is read only with --allow-remote"),
        (["rtmp://camera/1"], 4, "is a stream of a kind that is not read; http, https and rtsp are"),
        (["my street.MP4"], 4, "my street.MP4 does not exist"),
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


@pytest.mark.parametrize(
    ("command", "argument"),
    [
        ("predict", "SOURCE"),
        ("compare", "SOURCE"),
        ("val", "DATA"),
        ("weights info", "FILE|NAME"),
        ("weights convert", "IN.pt"),
        ("convert analyze", "MODULE:FACTORY"),
    ],
)
def test_a_command_alone_says_what_it_needs(
    command: str, argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command.split()) == ExitCode.USAGE
    assert argument in capsys.readouterr().err
