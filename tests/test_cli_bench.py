"""``yolo-max bench``: its options."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import fake_weights

from yolo_max import cli
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


def test_a_folder_that_cannot_be_written_is_known_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run(["bench", "--out", str(tmp_path / "file" / "out")]) == ExitCode.OUTPUT


def test_a_run_that_is_refused_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", "--engines", "foo"]) == ExitCode.USAGE
    assert not list(tmp_path.iterdir())
