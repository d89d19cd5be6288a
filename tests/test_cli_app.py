from __future__ import annotations

from typing import Any

import pytest

from yolo_max import cli
from yolo_max.cli import app as commands
from yolo_max.support.errors import ExitCode


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
