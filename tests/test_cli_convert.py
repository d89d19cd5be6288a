"""``yolo-max convert``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from yolo_max.cli import run
from yolo_max.convert.exported import Exported
from yolo_max.support.errors import ExitCode

SOURCE = """
import torch
from torch import nn

class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

class Strange(Small):
    def forward(self, x):
        return torch.erfinv(super().forward(x))

def nothing():
    return 3

def fails():
    return {}["width"]

made = nn.Linear(4, 4)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory has the module ``nets_of_test``, and one that cannot be imported."""
    (tmp_path / "nets_of_test.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "breaks_of_test.py").write_text('raise ValueError("no GPU")', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_what_is_computed_in_bf16(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shape = ["--input", "batch,3,16,16"]
    command = ["convert", "analyze", "nets_of_test:Small", *shape, "--precision"]
    assert run([*command, "bf16", "--json"]) == ExitCode.OK
    assert {each["bf16"] for each in json.loads(capsys.readouterr().out)["layers"]} == {True}
    assert run([*command, "f32"]) == ExitCode.OK
    assert "bfloat16" not in capsys.readouterr().out
    assert run([*command, "f16"]) == ExitCode.USAGE
    assert "there is no precision 'f16'; use one of f32, bf16" in capsys.readouterr().err
    out = tmp_path / "small.safetensors"
    export = ["convert", "export", "nets_of_test:Small", *shape, "--out", str(out), "--precision", "bf16"]
    assert run(export) == ExitCode.OK
    assert Exported.read(out).precision == "bf16"


def test_a_module_that_can_be_converted() -> None:
    """As a command of its own, whose terminal nothing else has set up."""
    arguments = ["convert", "analyze", "nets_of_test:Small", "--input", "batch,3,16,16", "--layers"]
    ran = subprocess.run(
        [sys.executable, "-m", "yolo_max", *arguments],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "converted are 100.0% of operations, 100.0% of parameters, 100.0% of flops" in ran.stdout
    assert "batch x 4 x 14 x 14" in ran.stdout


def test_as_json_with_a_blocker(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["convert", "analyze", "nets_of_test:Strange", "--input", "1,3,16,16", "--json"]
    assert run(arguments) == ExitCode.ENGINE
    found = json.loads(capsys.readouterr().out)
    assert [each["operation"] for each in found["blockers"]] == ["aten.erfinv.default"]
    assert found["blockers"][0]["source"].endswith("nets_of_test.py:11")
    assert found["coverage"]["parameters"] == 100


def test_export(capsys: pytest.CaptureFixture[str]) -> None:
    from yolo_max.convert import state_dict

    arguments = ["convert", "export", "nets_of_test:Small", "--input", "batch,3,16,16", "-o"]
    assert run([*arguments, "small.safetensors"]) == ExitCode.OK
    written = f"{Path('small.safetensors').stat().st_size / 1000:.1f} kB"
    assert f"Wrote small.safetensors: {written}." in "".join(capsys.readouterr())
    assert "1.running_var" in state_dict("small.safetensors")
    assert run([*arguments, "small.safetensors"]) == ExitCode.OUTPUT
    assert "small.safetensors exists" in capsys.readouterr().err
    assert run([*arguments, "small.safetensors", "--overwrite", "--quiet"]) == ExitCode.OK
    assert run([*arguments, "small.pt"]) == ExitCode.USAGE
    assert "must end in .safetensors" in capsys.readouterr().err


def test_what_bench_measures_can_go_to_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from yolo_max.bench.module_bench import ModuleBench

    runs: list[object] = []

    def measure(*_: object) -> SimpleNamespace:
        runs.append(1)
        return SimpleNamespace(to_dict=lambda: {"engines": {"max": 1}})

    monkeypatch.setattr(ModuleBench, "run", measure)
    arguments = ["convert", "bench", "nets_of_test:Small", "--input", "1,3,16,16", "--json", "-o", "a/b.json"]
    assert run(arguments) == ExitCode.OK
    assert json.loads(Path("a/b.json").read_text()) == json.loads(capsys.readouterr().out)
    assert run(arguments) == ExitCode.OUTPUT
    assert "b.json exists" in capsys.readouterr().err
    assert len(runs) == 1  # nothing is measured in vain
    assert run([*arguments, "--overwrite"]) == ExitCode.OK


def test_what_cannot_be_converted_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["convert", "export", "nets_of_test:Strange", "--input", "1,3,16,16", "-o", "x.safetensors"]
    assert run(arguments) == ExitCode.ENGINE
    assert "aten.erfinv.default" in capsys.readouterr().err
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        ("nets_of_test", "1,3", "names no module; use package.module:Factory"),
        ("no_such_thing:Net", "1,3", "there is no module no_such_thing"),
        ("nets_of_test:Missing", "1,3", "nets_of_test has no Missing"),
        ("nets_of_test:nothing", "1,3", "gives int, and not a torch.nn.Module"),
        ("nets_of_test:fails", "1,3", "called without arguments; it raised KeyError: 'width'"),
        ("breaks_of_test:Net", "1,3", "breaks_of_test cannot be imported; it raised ValueError: no GPU"),
        ("nets_of_test:made", "1;3", "is no shape; use 1,3,224,224"),
        ("nets_of_test:made", "0,4", "is no shape"),
    ],
)
def test_what_is_typed_wrong(
    module: str, shape: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "analyze", module, "--input", shape]) == ExitCode.USAGE
    assert message in " ".join(capsys.readouterr().err.split())
