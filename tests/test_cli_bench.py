"""``yolo-max bench``: its options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes import fake_weights

from yolo_max import cli
from yolo_max.bench.engines import ENGINES, choose
from yolo_max.support.errors import ExitCode


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engines", "max,nonsense"], "no engine 'nonsense'"),
        (["--engines", ","], "engines is empty"),
        (["--against", "nonsense"], "cannot refer to 'nonsense'"),
        (
            ["--engines", "max,openvino", "--against", "torch"],
            "cannot refer to 'torch'; use one of max, openv",
        ),
        (["--scenarios", "server"], "no scenario 'server'"),
        (["--rounds", "0"], "rounds is 0"),
        (["--seconds", "0"], "seconds is 0"),
        (["--seconds", "nan"], "seconds is nan"),
        (["--threads", "0"], "threads is 0"),
        (["--threads", "100000"], "threads is 100000"),
        (["--imgsz", "wide"], "imgsz is 'wide'"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("yolo_max.bench.request.load_weights", lambda spec: fake_weights())
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", *arguments]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_known_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolo_max.bench.request.load_weights", lambda spec: fake_weights())
    (tmp_path / "file").write_text("")
    assert cli.run(["bench", "--out", str(tmp_path / "file" / "out")]) == ExitCode.OUTPUT


@pytest.mark.parametrize("out", [[], ["--out", "mine"]])
@pytest.mark.parametrize(
    "arguments", [["--engines", "foo"], ["--rounds", "0"], ["--from", "nowhere.json"], ["--imgsz", "0"]]
)
def test_a_run_that_is_refused_leaves_no_folder(
    arguments: list[str], out: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolo_max.bench.request.load_weights", lambda spec: fake_weights())
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", *arguments, *out]) in (ExitCode.USAGE, ExitCode.SOURCE)
    assert not list(tmp_path.iterdir())


def test_without_an_engine_that_can_run_there_is_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = replace(ENGINES[0], packages=("no_such_package_anywhere",))
    monkeypatch.setattr("yolo_max.bench.request.choose", lambda keys: [missing])
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", "--out", "mine"]) == ExitCode.ENGINE
    assert capsys.readouterr().err == (
        "Error: no engine can run here: no_such_package_anywhere not installed (pip install "
        "no_such_package_anywhere); install the peers with `pip install 'yolo-max[bench]'`.\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [["--engines", "max,openvino"], ["--engines", "openvino"], ["--against", "openvino"]]
)
def test_an_engine_that_is_asked_for_and_missing_is_said_before_the_run(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = "no_such_package_anywhere"
    known = [replace(each, packages=(package,) if each.key == "openvino" else ()) for each in ENGINES]
    monkeypatch.setattr("yolo_max.bench.request.choose", lambda keys: choose(keys, known))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", *arguments, "--out", "mine"]) == ExitCode.ENGINE
    assert capsys.readouterr().err == (
        f"Error: openvino cannot run here: {package} not installed (pip install {package}).\n"
    )
    assert not list(tmp_path.iterdir())
