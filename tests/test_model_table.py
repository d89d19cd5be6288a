"""What the rows of a table may ask of maps: pools, padding, several maps at once, activations."""

from __future__ import annotations

from typing import Any

import pytest

from yolo_max.model.architecture import parse_architecture
from yolo_max.support.errors import WeightsError


def network(*rows: list[Any], head: list[int] | None = None, **changes: Any) -> dict[str, Any]:
    """A convolution, rows behind it, and a head on the last one."""
    backbone = [[-1, 1, "Conv", [16, 3, 2]], *rows]
    return {"nc": 3, "backbone": backbone, "head": [[head or [-1], 1, "Detect", ["nc"]]], **changes}


PAD = [-1, 1, "nn.ZeroPad2d", [[0, 1, 0, 1]]]
NARROW = [-1, 1, "nn.MaxPool2d", [2, 1, 0]]


@pytest.mark.parametrize(
    ("rows", "strides", "stride"),
    [
        ([PAD, NARROW], (2,), 2),  # as YOLOv3-tiny has it
        ([PAD, [-1, 1, "Conv", [16, 3]], NARROW], (2,), 2),  # which keeps the size
        ([[-1, 1, "nn.ZeroPad2d", [1]], [-1, 2, *NARROW[2:]]], (2,), 2),  # copies in a row
        ([[-1, 2, "nn.MaxPool2d", [2]]], (8,), 8),
        ([[-1, 1, "nn.MaxPool2d", [3, 2, 1]]], (4,), 4),
        ([[-1, 1, "nn.ConvTranspose2d", [16, 2, 2]]], (1,), 2),
        ([[-1, 1, "Silence", []]], (2,), 2),  # nn.Identity's name before 2025
        (
            [
                [0, 1, "CBLinear", [[8, 16]]],
                [0, 1, "Conv", [16, 3, 2]],
                [-1, 1, "CBLinear", [[16]]],
                [[1, 3, 0], 1, "CBFuse", [[1, 0]]],
            ],
            (2,),
            4,  # so that the coarser map has half the pixels
        ),
    ],
)
def test_strides(rows: list[Any], strides: tuple[int, ...], stride: int) -> None:
    architecture = parse_architecture(network(*rows))
    assert architecture.unsupported() == ()
    assert (architecture.strides, architecture.stride) == (strides, stride)


LINEAR = [-1, 1, "CBLinear", [[8, 16]]]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([PAD], r"layer 2 \(Detect\) .* reads a map that was padded"),
        ([PAD, [-1, 1, "Conv", [16, 3, 2]]], r"layer 2 \(Conv\) .* reads a map that was padded"),
        ([PAD, [[0, 1], 1, "Concat", [1]]], r"layer 2 \(Concat\) .* reads a map that was padded"),
        ([NARROW], "gives a map of -1 pixels beside those of its stride"),
        ([[-1, 3, "nn.ZeroPad2d", [8]]], "gives a map of 48 pixels beside those of its stride"),
        ([[-1, 1, "nn.ZeroPad2d", [[1, 2]]]], "which is not one number or four"),
        ([[-1, 1, "nn.ZeroPad2d", [-1]]], "not a whole number from 0"),
        ([[-1, 1, "nn.MaxPool2d", [3, 2, 2]]], "padding 2, which is not a whole number from 0 to 1"),
        ([LINEAR, [-1, 1, "Conv", [16]]], r"\(Conv\) .* reads several maps at once"),
        ([LINEAR], r"\(Detect\) .* reads several maps at once"),
        ([[-1, 2, "CBLinear", [[16]]]], "is repeated 2 times, but its output is several maps"),
        ([[-1, 1, "CBLinear", [[]]]], "not a list of 1 to"),
        ([[-1, 1, "CBLinear", [16]]], "not a list of 1 to"),
        ([LINEAR, [[1, 0], 1, "CBFuse", [[2]]]], "index of input 0 2, which is not"),
        ([LINEAR, [[1, 0], 1, "CBFuse", [[0]]]], "adds 8 channels of its input 0 to 16"),
        ([LINEAR, [[1, 0], 1, "CBFuse", [[1, 1]]]], "not an index for each input but the last"),
        ([LINEAR, [[0, 1], 1, "CBFuse", [[0]]]], "its last input is several"),
        ([[[0, 0], 1, "CBFuse", [[0]]]], "which is a single one"),
        ([LINEAR, [[1, 1, 0], 1, "CBFuse", [[1, 1]]]], "adds up maps of strides 2, 2, 2"),
    ],
)
def test_maps_that_do_not_fit(rows: list[Any], problem: str) -> None:
    with pytest.raises(WeightsError, match=problem):
        parse_architecture(network(*rows))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (["nn.MaxPool2d", [5, 2, 0]], "kernel=5"),  # fewer outputs than its stride gives
        (["nn.MaxPool2d", [2, 2, 0, 2]], "dilation=2"),
        (["nn.MaxPool2d", [2, 2, 0, 1, False, True]], "ceil_mode=True"),
        (["nn.ZeroPad2d", [[1, 1, 0, 1]]], r"padding=\[1, 1, 0, 1\]"),
        (["nn.ConvTranspose2d", [16, 4, 2, 1]], "padding=1"),
        (["nn.ConvTranspose2d", [16, 3, 2]], "stride=2"),  # filters that overlap
        (["nn.ConvTranspose2d", [16, 2, 2, 0, 0, 1, False]], "bias=False"),
        (["CBLinear", [[16], 3]], "kernel=3"),
    ],
)
def test_arguments_that_are_not_ported(row: list[Any], problem: str) -> None:
    architecture = parse_architecture(network([-1, 1, *row], head=[0]))
    with pytest.raises(WeightsError, match=problem):
        architecture.require()


@pytest.mark.parametrize(
    ("given", "activation"),
    [
        (None, "SiLU"),
        ("nn.SiLU()", "SiLU"),
        ("torch.nn.ReLU()", "ReLU"),
        ("nn.ReLU(inplace=True)", "ReLU"),
        ("nn.Hardswish(True)", "Hardswish"),
    ],
)
def test_the_activation_of_a_table(given: str | None, activation: str) -> None:
    architecture = parse_architecture(network(activation=given))
    assert architecture.activation == activation
    assert architecture.unsupported() == ()


@pytest.mark.parametrize(
    "given", ["nn.LeakyReLU(0.1)", "nn.Mish()", "ReLU", "__import__('os').system('x')", 1, ["nn.ReLU()"]]
)
def test_an_activation_that_is_not_ported(given: Any) -> None:
    with pytest.raises(WeightsError, match="activation"):
        parse_architecture(network(activation=given)).require()
