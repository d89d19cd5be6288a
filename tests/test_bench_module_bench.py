"""``yolo-max convert bench``, with PyTorch against itself: nothing is compiled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yolo_max.bench.module_bench import ModuleBench, ModuleResults
from yolo_max.cli import run
from yolo_max.support.errors import ExitCode

SOURCE = """
import os
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        return {"rows": self.layer(x), "more": (x.sum(), None)}

class Unsure(Net):  # other weights in each process
    def __init__(self):
        super().__init__()
        torch.manual_seed(os.getpid())
        self.layer = nn.Linear(6, 4)

class Attention(nn.Module):  # PyTorch has one operation for it, and ONNX none
    def __init__(self):
        super().__init__()
        self.layer = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        return self.layer(x, x, x, need_weights=False)[0]

class Bessel(Net):  # which ONNX has not
    def forward(self, x):
        return torch.special.bessel_j0(x)

class Broken(Net):
    def forward(self, x):
        raise RuntimeError("no such thing")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory has the module ``benched``."""
    (tmp_path / "benched.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def bench(name: str) -> ModuleResults:
    asked = ModuleBench(f"benched:{name}", ["batch=2,6"], engines=["torch"], rounds=2, seconds=0.01)
    return asked.run(lambda _: None)


def test_a_module_is_measured_in_rounds() -> None:
    found = bench("Net")
    assert (found.parity, found.speed_up("torch"), found.failed) == ({"torch": 1.0}, 1.0, {})
    assert [len(each) >= 3 for each in found.times["torch"]] == [True, True]
    assert found.shapes == ((2, 6),)
    (row,) = found.table().rows
    assert row[0] == "PyTorch eager"


def test_attention_is_measured_as_onnx() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    engines = ["onnxruntime", "torch"]
    asked = ModuleBench("benched:Attention", ["2,3,6"], engines=engines, rounds=1, seconds=0.01)
    found = asked.run(lambda _: None)
    assert (list(found.times), found.failed) == (engines[::-1], {})


def test_what_onnx_cannot_express_is_measured_by_the_others() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    engines = ["onnxruntime", "torch"]
    asked = ModuleBench("benched:Bessel", ["2,6"], engines=engines, rounds=1, seconds=0.01)
    found = asked.run(lambda _: None)
    assert list(found.times) == ["torch"]
    assert found.failed["onnxruntime"].startswith("PyTorch cannot export benched:Bessel to ONNX: ")


def test_there_is_no_speed_up_without_parity() -> None:
    found = bench("Unsure")
    assert found.parity["torch"] > 1000
    assert found.speed_up("torch") is None


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--input", "3,6", "--engines", "torch", "--rounds", "1", "--seconds", "0.01", "--json"]
    assert run(["convert", "bench", "benched:Net", *arguments]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert found["engines"]["torch"]["speed_up"] == 1
    assert found["engines"]["torch"]["ms"]["p50"] > 0


@pytest.mark.parametrize(
    ("name", "more", "code", "message"),
    [
        ("Net", ["--input", "batch,6"], ExitCode.USAGE, "batch has no size to be measured at; use batch=1"),
        ("Net", ["--input", "batch=x,6"], ExitCode.USAGE, "is no shape; use batch=8,20"),
        ("Net", ["--input", "b=1,6", "--input", "b=2,6"], ExitCode.USAGE, "b is 1 and 2; give it one size"),
        ("Net", ["--input", "2,6", "--engines", "tvm"], ExitCode.USAGE, "there is no engine 'tvm'"),
        ("Net", ["--input", "2,6", "--rounds", "0"], ExitCode.USAGE, "at least one round"),
        ("Broken", ["--input", "2,6"], ExitCode.ENGINE, "PyTorch cannot run benched:Broken: RuntimeError"),
        ("Absent", ["--input", "2,6"], ExitCode.ENGINE, "benched has no Absent"),
    ],
)
def test_what_cannot_be_measured(
    name: str, more: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = more if "--engines" in more else [*more, "--engines", "torch"]
    assert run(["convert", "bench", f"benched:{name}", *more]) == code
    assert message in capsys.readouterr().err
