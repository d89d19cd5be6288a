"""Each block's spec, held against its class and against Ultralytics' module."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from yolo_max.kernels.activation import Activation
from yolo_max.model.architecture import parse_architecture
from yolo_max.model.max_nn import Module
from yolo_max.model.model import BLOCKS, make_block
from yolo_max.model.specs import SPECS, Convolution, HeadSpec, Layer
from yolo_max.model.table import ACTIVATIONS
from yolo_max.support.ultralytics_import import import_ultralytics

torch = pytest.importorskip("torch")

C_IN = 24

ROWS: dict[str, list[list[Any]]] = {
    # module: [repeats, *args], for an input of 24 channels
    "Conv": [
        [1, 40],  # 1x1
        [1, 40, 3, 2],  # halves the map
        [3, C_IN, 5],  # copies in a row
        [1, 40, 6, 2, 2],  # YOLOv5's first: an even kernel, which this padding fits
        [1, C_IN, 3, 1, None, C_IN],  # depthwise
        [1, 40, 1, 1, None, 1, 1, False],  # without activation
    ],
    "SCDown": [
        [1, 40, 3, 2],
    ],
    "Bottleneck": [
        [1, C_IN],  # with a shortcut
        [1, 40, True],  # of other widths: none
        [2, C_IN, False, 1, [3, 3], 0.25],  # narrow copies
    ],
    "C2": [
        [1, 40],
        [2, 40, False],  # without shortcuts
    ],
    "C2f": [
        [1, 40],
        [3, 40, True],  # three bottlenecks
        [1, 40, False, 1, 0.25],  # narrow ones
    ],
    "C3": [
        [1, 40],
        [3, 40, False],  # three bottlenecks, without shortcuts
        [1, 40, True, 1, 0.25],  # narrow ones
    ],
    "C3k2": [
        [1, 40],  # a narrow bottleneck
        [2, 40, False, 0.25],  # narrower ones
        [2, 40, True, 0.5, False, 1, False],  # C3k, without shortcuts
        [2, 40, False, 0.5, True],  # attention
        [1, 320, True, 0.5, True],  # two heads; attention before C3k
    ],
    "C2fCIB": [
        [1, 40],
        [2, 40, True],  # with shortcuts
        [2, 40, True, True, 1, 0.25],  # large kernels, narrow
    ],
    "A2C2f": [
        [1, 64],  # one area
        [2, 64, True, 4],  # four
        [2, 64, False, -1],  # C3k instead
        [1, 64, True, 2, False, 1.2, 1.0],  # narrower inside, two heads
        [1, C_IN, True, 1, True, 1.2, 1.34],  # with a factor for each channel, and a shortcut
    ],
    "PSA": [
        [1, C_IN],
    ],
    "C2PSA": [
        [1, C_IN],
        [2, C_IN, 0.25],  # two blocks, narrow
        [1, C_IN, 8],  # three heads
    ],
    "SPP": [
        [1, 40],
        [1, 40, [3, 7]],  # other pools
    ],
    "SPPF": [
        [1, 40],
        [1, 40, 3],  # smaller pools
        [1, C_IN, 5, 2, True],  # YOLO26's form: no activation, a shortcut
        [1, 40, 5, 3, True],  # other widths: no shortcut
    ],
    "RepNCSPELAN4": [
        [1, 40, 32, 16],
        [1, 40, 16, 24, 2],  # two bottlenecks in each
    ],
    "ELAN1": [
        [1, 40, 32, 16],
    ],
    "AConv": [
        [1, 40],
    ],
    "ADown": [
        [1, 40],
    ],
    "SPPELAN": [
        [1, 40, 16],
        [1, 40, 24, 3],  # smaller pools
    ],
    "CBLinear": [
        [1, [16, 40]],
    ],
    "CBFuse": [
        [1, [1, 2]],  # the second map of the first input, the third of the second
    ],
    "nn.Upsample": [
        [1, "None", 2, "nearest"],
    ],
    "nn.Identity": [
        [1],
    ],
    "nn.MaxPool2d": [
        [1, 2, 2, 0],
        [1, 2],  # the stride of the window
        [1, 3, 2, 1],  # padded
        [2, 5, 1, 2],  # copies in a row
    ],
    "nn.ZeroPad2d": [
        [1, [0, 1, 1, 0]],
        [1, 2],  # all sides
    ],
    "nn.ConvTranspose2d": [
        [1, 40, 2, 2, 0],
        [2, C_IN, 3, 3],  # copies in a row
    ],
    "Concat": [
        [1, 1],
    ],
    "Classify": [
        [1, "nc"],
    ],
    "Detect": [
        [1, "nc"],
    ],
    "v10Detect": [
        [1, "nc"],
    ],
    "Segment": [
        [1, "nc", 32, 16],
        [1, "nc", 4, 24],  # fewer prototypes than a quarter of the channels
    ],
    "Segment26": [
        [1, "nc", 32, 16],
    ],
    "Pose": [
        [1, "nc", "kpt_shape"],  # the table's
        [1, "nc", [17, 2]],  # the row's, without visibility
        [1, "nc", [1, 3]],  # fewer numbers than a quarter of the channels
    ],
    "Pose26": [
        [1, "nc", "kpt_shape"],
        [1, "nc", [2, 2]],
    ],
    "OBB": [
        [1, "nc", 1],
    ],
    "OBB26": [
        [1, "nc", 1],
    ],
}


class Recorder:
    """A backend that computes nothing; its convolutions say what they are."""

    activation = Activation.SILU

    def conv2d(
        self, c1: int, c2: int, k: int, s: int, p: int, *, depthwise: bool, activation: Activation
    ) -> Module:
        return Recorded(Convolution(k, c1, c2, s, p, c1 if depthwise else 1), activation)

    def conv_transpose2d(self, c1: int, c2: int, s: int) -> Module:
        return Recorded(Convolution(s, c1, c2, s, 0, kind="ConvTranspose2d"), Activation.NONE)


class Recorded(Module):  # type: ignore[misc]
    def __init__(self, convolution: Convolution, activation: Activation) -> None:
        super().__init__()
        self.convolution = convolution
        self.activation = activation

    def __call__(self, *args: Any) -> Any:
        raise AssertionError("a recorder computes nothing")


def table(module: str, repeats: int, args: list[Any]) -> dict[str, Any]:
    """A network with this row as its second, or as its head."""
    row: list[Any] = [-1, repeats, module, args]
    first = [-1, 1, "Conv", [C_IN, 3, 2]]
    if isinstance(SPECS[module], HeadSpec):
        start = {"nc": 5, "kpt_shape": [5, 3], "backbone": [first]}
        return {**start, "head": [[[0] if SPECS[module].joins else 0, *row[1:]]]}
    before = [first]
    if SPECS[module].takes_maps:
        before.append([0, 1, "CBLinear", [[16, C_IN]]])
        before += [[0, 1, "Conv", [C_IN, 3, 2]], [-1, 1, "CBLinear", [[8, 8, C_IN]]]]
        row[0] = [1, 3, 0]
    elif SPECS[module].joins:
        row[0] = [-1, -1]
    return {"nc": 5, "backbone": [*before, row], "head": [[[0], 1, "Detect", ["nc"]]]}


def ultralytics(architecture: dict[str, Any]) -> dict[str, Any]:
    """Ultralytics' modules for a table, by the checkpoint's names."""
    import_ultralytics()
    from ultralytics.nn.tasks import parse_model

    layers, _ = parse_model(copy.deepcopy(architecture), ch=3, verbose=False)
    return {f"model.{name}": module for name, module in layers.eval().named_modules(remove_duplicate=False)}


def only_in_training(layer: Layer) -> tuple[str, ...]:
    """Prefixes of the names that are of no use to the port."""
    if not isinstance(layer.spec, HeadSpec):
        return ()
    return tuple(f"model.{layer.index}.{name}." for name in layer.spec.only_in_training)


Case = tuple[Layer, dict[str, Any]]
"""A row, resolved, and the table it is in."""

CASES = [(module, *row) for module, rows in ROWS.items() for row in rows]


def resolved(architecture: dict[str, Any]) -> Layer:
    """The row of a table of `table`."""
    layers = parse_architecture(architecture).layers
    return layers[-1] if len(architecture["backbone"]) == 1 else layers[-2]


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    module, repeats, *args = request.param
    architecture = table(module, repeats, args)
    return resolved(architecture), architecture


def test_every_block_has_a_spec_a_class_and_rows_here() -> None:
    assert SPECS.keys() == BLOCKS.keys() == ROWS.keys()


def test_the_row_is_covered(case: Case) -> None:
    assert case[0].unported == ()


def test_a_block_makes_the_convolutions_of_its_spec(case: Case) -> None:
    layer, _ = case
    made: Any = make_block(Recorder(), layer)  # type: ignore[arg-type]
    found = {
        f"model.{layer.index}.{path}".rstrip("."): module.convolution
        for path, module in made.named_modules()
        if isinstance(module, Recorded)
    }
    assert found == {
        each.name: Convolution(
            each.kernel,
            each.c_in,
            each.c_out,
            each.stride,
            each.sides,
            each.groups,
            kind="ConvTranspose2d" if each.kind == "ConvTranspose2d" else "Conv2d",
        )
        for each in layer.convolutions()
    }


def test_a_convolution_has_the_activation_of_its_spec(case: Case) -> None:
    assert_activations(case[0])


@pytest.mark.parametrize(
    ("module", "activation"),
    [*((module, "ReLU") for module in ROWS), *(("Conv", activation) for activation in ACTIVATIONS)],
)
def test_a_table_may_ask_for_another_activation(module: str, activation: str) -> None:
    repeats, *args = ROWS[module][0]
    architecture = {**table(module, repeats, args), "activation": f"torch.nn.{activation}()"}
    layer = resolved(architecture)
    modules = ultralytics(architecture)
    for path, kind, *_ in layer.saved():
        assert type(modules[path]).__name__ == kind
    assert_activations(layer)


def assert_activations(layer: Layer) -> None:
    made: Any = make_block(Recorder(), layer)  # type: ignore[arg-type]
    saved = {path: kind for path, kind, *_ in layer.saved()}
    kinds = {activation: name for name, activation in ACTIVATIONS.items()} | {Activation.NONE: "Identity"}
    for path, module in made.named_modules():
        block, _, _ = f"model.{layer.index}.{path}".rstrip(".").rpartition(".")
        if isinstance(module, Recorded):
            assert kinds[module.activation] == saved.get(f"{block}.act", "Identity")


def test_the_spec_is_that_of_ultralytics_module(case: Case) -> None:
    """Names and shapes of all parameters, and what a checkpoint says of the modules."""
    layer, architecture = case
    modules = ultralytics(architecture)
    for path, kind, attributes, later in layer.saved():
        module = modules[path]
        assert type(module).__name__ == kind
        for name, expected in {**attributes, **later}.items():
            value = getattr(module, name)
            value = tuple(value) if isinstance(value, list) else value
            assert value == expected or (value, value) == expected
    kinds = torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear
    found = {
        f"{name}.weight": module.weight
        for name, module in modules.items()
        if isinstance(module, kinds)
        and f"{name}.".startswith(f"model.{layer.index}.")
        and not name.startswith(only_in_training(layer))
    }
    found |= {
        f"{name}.gamma": module.gamma
        for name, module in modules.items()
        if name == f"model.{layer.index}" and getattr(module, "gamma", None) is not None
    }
    for name, value in layer.spec.constants(layer).items():
        np.testing.assert_array_equal(found.pop(f"model.{layer.index}.{name}").detach().numpy(), value)
    shapes = {name: tuple(weight.shape) for name, weight in found.items()}
    saved = [summand for each in layer.convolutions() for summand in each.summands()]
    assert shapes == {each.saved_names[0]: each.saved_shape for each in saved}


@pytest.mark.parametrize(
    "case", [each for each in CASES if not isinstance(SPECS[each[0]], HeadSpec)], ids=str, indirect=True
)
def test_a_map_has_the_channels_and_the_size_that_the_spec_says(case: Case) -> None:
    layer, architecture = case
    block = ultralytics(architecture)[f"model.{layer.index}"]
    layers = parse_architecture(architecture).layers
    sources = [layers[source] for source in layer.from_]
    inputs = [torch.zeros(1, each.c_out, 8, 16) for each in sources]
    inputs = [x.split(each.maps, 1) if each.maps else x for x, each in zip(inputs, sources, strict=True)]
    with torch.inference_mode():
        y = block(inputs if layer.spec.joins else inputs[0])
    assert layer.maps == (tuple(each.shape[1] for each in y) if isinstance(y, tuple) else ())
    y = torch.cat(y, 1) if layer.maps else y
    stride = layer.spec.stride(layer) ** layer.copies
    more = layer.spec.grows(layer) * layer.copies
    assert tuple(y.shape) == (1, layer.c_out, 8 / stride + more, 16 / stride + more)
