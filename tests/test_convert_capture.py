"""What is captured, what is refused and with which words. Nothing is compiled."""

from __future__ import annotations

import json
import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import convert_networks as networks
import pytest
import torch
from torch import nn

from yolo_max.convert import Rule, analyze
from yolo_max.convert.analyzer import captured
from yolo_max.convert.converter import convert_pytorch_model
from yolo_max.convert.errors import ConversionError, UnsupportedOperations
from yolo_max.convert.guards import written
from yolo_max.convert.rules import builtin_rules
from yolo_max.convert.silence import silence

RULES = builtin_rules()
aten = torch.ops.aten


class Function(nn.Module):  # type: ignore[misc]
    """A function as a module, with a parameter."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.randn(4, 4))

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def branch(_: Any, x: Any) -> Any:
    return x + 1 if x.sum() > 0 else x - 1


@pytest.mark.parametrize(
    ("module", "shapes", "message"),
    [
        (
            nn.Dropout(),
            [(4, 4)],
            r"Dropout cannot be converted, as it is in training mode; call model.eval\(\) first",
        ),
        (nn.Linear, [(4, 4)], "a torch.nn.Module is converted, and this is the class Linear; make a"),
        ("module", [(4, 4)], "a torch.nn.Module is converted, and this is a str"),
        (nn.Linear(4, 4).eval(), (2, 4), r"a shape for each input, and 2 is none; use \[\(2, 4\)\]"),
        (nn.Linear(4, 4).eval(), ["batch", 4], r"and 'batch' is none; use \[\('batch', 4\)\]"),
        (nn.Sequential(nn.Dropout()).train(), [(4, 4)], "it is in training mode"),
        (nn.Linear(4, 4, device="meta").eval(), [(4, 4)], "weight is on meta, and only modules on the CPU"),
        (
            nn.Linear(4, 4).eval(),
            [(4, 5)],
            "could not capture Linear: RuntimeError: a and b must have same reduction dim",
        ),
        (
            nn.Linear(4, 4).eval(),
            [("batch", "features")],
            "a symbolic size has to be static|could not capture",
        ),
        (nn.Linear(4, 4).eval(), [("a size", 4)], "'a size' in the input shape .* is no size"),
        (nn.Linear(4, 4).eval(), [(-1, 4)], "-1 in the input shape .* is no size"),
        (Function(branch).eval(), [(4, 4)], "depends on the values of its inputs, which a graph cannot"),
    ],
)
def test_what_cannot_be_captured(module: nn.Module, shapes: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert_pytorch_model(module, shapes)
    assert analyze(module, shapes).error


def test_what_depends_on_values_has_a_report_of_one_example(capfd: pytest.CaptureFixture[str]) -> None:
    """Not an error alone: what it computes, which part is converted, and where the values are read."""

    def flow(m: Any, x: Any) -> Any:
        y = x @ m.weight
        return torch.erfinv(y) if y.sum() > 0 else y.relu()

    report = analyze(Function(flow).eval(), [(4, 4)])
    assert "depends on the values of its inputs" in report.error
    assert not report.convertible
    assert {"aten.matmul.default", "aten.sum.default"} <= {each.operation for each in report.layers}
    (read,) = (each for each in report.blockers if each.operation == "aten._local_scalar_dense.default")
    assert read.source.startswith(__file__)
    assert 0 < report.coverage["operations"] < 100
    assert report.coverage["parameters"] == 100
    first, second, *blockers = report.summary().splitlines()
    assert report.error in first
    assert "with one example" in second
    assert len(blockers) == len(report.blockers)
    assert capfd.readouterr().err == ""  # PyTorch prints the graph so far


def test_one_module_in_training_mode_is_named() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).eval()
    module[1].train()
    with pytest.raises(ConversionError, match="its module 1 is in training mode"):
        captured(module, [(4, 4)], None, RULES)


def test_dtypes_and_shapes_come_in_pairs() -> None:
    with pytest.raises(ConversionError, match="1 input shapes and 2 dtypes"):
        captured(nn.Linear(4, 4).eval(), [(4, 4)], [torch.float32] * 2, RULES)


def test_sizes_keep_their_names() -> None:
    program = captured(networks.UNet().eval(), [("batch", 3, 32, "width")], None, RULES)
    assert set(program.symbols.values()) == {"batch", "width"}
    assert program.inputs == (("batch", 3, 32, "width"),)


def test_weights_keep_their_paths() -> None:
    program = captured(networks.Residual(3, 3, 1).eval(), [(1, 3, 8, 8)], None, RULES)
    assert "conv1.0.weight" in program.constants


def unknown(_: Any, x: Any) -> Any:
    return torch.erfinv(x.clamp(0, 0.5)) + torch.special.i0(x)


REFUSED = {
    # a function of [4, 4], and why it is refused
    "no rule": (lambda m, x: torch.erfinv(x), "aten.erfinv.default", "there is no rule for it"),
    "dtype": (lambda m, x: x.double() + 1, "aten._to_copy.default", "float64 is not computed"),
    "computed weights": (
        lambda m, x: nn.functional.linear(x, x + m.weight),
        "aten.linear.default",
        "weights are not constant",
    ),
    "unbatched": (
        lambda m, x: nn.functional.max_pool2d(x[None], 2),
        "aten.max_pool2d.default",
        "a map has rank 4",
    ),
    "vector": (lambda m, x: torch.matmul(x, x[0]), "aten.matmul.default", "a vector is not multiplied"),
    "mask": (lambda m, x: x[x > 0], "aten.index.Tensor", "its size depends on the values of its inputs"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_operation_that_is_refused_says_why(name: str) -> None:
    function, operation, reason = REFUSED[name]
    report = analyze(Function(function).eval(), [(4, 4)])
    assert not report.convertible
    found = {each.operation: each for each in report.blockers}
    assert operation in found, report.summary()
    assert re.search(reason, found[operation].reason)


def test_a_transposed_convolution_that_cuts_off_has_static_sides() -> None:
    module = nn.ConvTranspose2d(3, 4, 3, 2, 1).eval()
    assert analyze(module, [("batch", 3, 8, 8)]).convertible
    (found,) = analyze(module, [("batch", 3, "height", 8)]).blockers
    assert "has static sides" in found.reason


def test_all_unsupported_operations_are_in_one_error() -> None:
    module = nn.Sequential(nn.Linear(4, 4), Function(unknown)).eval()
    with pytest.raises(UnsupportedOperations) as caught:
        convert_pytorch_model(module, [(4, 4)], model_name="mine")
    error = caught.value
    assert [each.operation for each in error.operations] == ["aten.erfinv.default", "aten.i0.default"]
    assert {each.module for each in error.operations} == {"1"}
    line = Function.forward.__code__.co_firstlineno + 1  # PyTorch knows no more than the line of a forward
    assert {each.source for each in error.operations} == {f"{__file__}:{line}"}
    assert "2 operations of mine cannot be converted" in str(error)
    assert error.report.coverage["parameters"] == 100


def test_a_report_counts() -> None:
    report = analyze(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), Function(unknown)).eval(), [(3, 4)])
    assert [(each.operation, each.parameters, each.flops) for each in report.layers[:2]] == [
        ("aten.linear.default", 4 * 8 + 8, 2 * 3 * 4 * 8),
        ("aten.relu.default", 0, 3 * 8),
    ]
    assert report.coverage["operations"] == 100 * 4 / 6  # linear, relu, clamp and add of six
    assert json.loads(json.dumps(report.to_dict()))["blockers"][0]["operation"] == "aten.erfinv.default"


def test_a_rule_of_ones_own_counts_and_leaves_others_alone() -> None:
    module = Function(lambda _, x: torch.erfinv(x)).eval()
    rule = Rule(aten.erfinv.default, lambda _call, x: x)
    assert analyze(module, [(4, 4)], rules=[rule]).convertible
    assert not analyze(module, [(4, 4)]).convertible


def test_importing_the_package_imports_no_torch() -> None:
    import subprocess
    import sys

    script = "import sys, yolo_max.convert; print('torch' in sys.modules, 'max' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert Path(__file__).exists()


def test_a_module_that_returns_a_symbolic_size_is_refused() -> None:
    module = Function(lambda _, x: (x, x.shape[0])).eval()
    with pytest.raises(ConversionError, match="returns a size that is not static"):
        captured(module, [("batch", 4)], None, RULES)
    assert analyze(module, [(3, 4)]).convertible  # which is static


def test_sizes_that_have_to_be_equal_need_one_name() -> None:
    module = Function(lambda _, a, b: a + b).eval()
    with pytest.raises(ConversionError, match="rows and lines have to be equal; give them one name"):
        captured(module, [("rows", 4), ("lines", 4)], None, RULES)


class Variadic(nn.Module):  # type: ignore[misc]
    """Takes arguments that nobody need give, as Ultralytics' modules do."""

    def forward(self, x: Any, *more: Any, **_: Any) -> Any:
        return x + sum(more)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_arguments_that_need_not_be_given(count: int) -> None:
    program = captured(Variadic().eval(), [("batch", 4)] * count, None, RULES)
    assert len(program.inputs) == count


UNLIKE_ONES = {
    # a function of ["batch", 3, 8, "width"], and the sizes at which the captured graph is not the module's
    "a branch": (lambda _, x: x * 100 if x.shape[0] == 1 else x + 1, {"batch != 1"}),
    "squeeze": (lambda _, x: x.mean((2, 3), keepdim=True).squeeze(), {"batch != 1"}),
    "shapes inside": (lambda _, x: x.mean((2, 3), keepdim=True).squeeze().sum(0), {"batch != 1"}),
    "a quotient": (lambda _, x: x * 2 if x.shape[3] // 32 == 1 else x, {"width//32 != 1"}),
    "broadcasting": (lambda _, x: x + x[:1] * x.amax(3, keepdim=True), set()),
    "a view": (lambda _, x: x.flatten(1).unsqueeze(1).squeeze(1), set()),
    "expansion": (lambda _, x: torch.zeros(1, 3, 1, 1).expand(len(x), -1, -1, x.shape[3]) + x, set()),
}


@pytest.mark.parametrize("name", UNLIKE_ONES)
def test_a_size_of_1_is_refused_only_where_the_module_does_something_else_then(name: str) -> None:
    function, expected = UNLIKE_ONES[name]
    program = captured(Function(function).eval(), [("batch", 3, 8, "width")], None, RULES)
    found = {written(each) for each in program.guards}
    assert {each for each in found if "!= 1" in each} == expected


def test_two_threads_that_capture_give_back_what_they_silence() -> None:
    """The first one, which would leave between the second one's begin and end, does so before it."""
    before = sys.stderr
    first_in, second_in, first_out = Event(), Event(), Event()

    def first() -> None:
        with silence():
            first_in.set()
            second_in.wait(0.2)
        first_out.set()

    def second() -> None:
        first_in.wait()
        with silence():
            second_in.set()
            first_out.wait(10)

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(first), pool.submit(second)]:
            each.result()
    assert sys.stderr is before


def test_other_threads_are_heard_while_one_captures(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def speak(who: str) -> None:
        print(f"printed by {who}", file=sys.stderr)
        logging.getLogger("somebody").warning("logged by %s", who)

    with ThreadPoolExecutor(1) as pool:
        with silence():
            speak("the one that captures")
            pool.submit(speak, "another").result()
        speak("the one that has captured")
    assert capsys.readouterr().err.splitlines() == [
        "printed by another",
        "printed by the one that has captured",
    ]
    assert caplog.messages == ["logged by another", "logged by the one that has captured"]


def test_a_handler_that_another_thread_makes_meanwhile_is_heard_afterwards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made: list[logging.StreamHandler[Any]] = []
    with silence():
        thread = Thread(target=lambda: made.append(logging.StreamHandler()))
        thread.start()
        thread.join()
        made[0].emit(logging.makeLogRecord({"msg": "by the one that captures"}))
    made[0].emit(logging.makeLogRecord({"msg": "by the one that has captured"}))
    assert capsys.readouterr().err.splitlines() == ["by the one that has captured"]
