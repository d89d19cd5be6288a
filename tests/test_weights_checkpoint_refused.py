"""What a checkpoint must not hold: each kind is refused by a sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import checkpoints
import pytest

from yolo_max.model.architecture import REMEDY
from yolo_max.support.errors import WeightsError

# What is refused


def without(attribute: str) -> Callable[[Any], None]:
    return lambda model: delattr(model, attribute)


def replaced(path: str, value: Any) -> Callable[[Any], None]:
    """Sets an attribute of a module: ``model.3.conv.stride``."""

    def change(model: Any) -> None:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent) if parent else model, name, value)

    return change


def poisoned(path: str, value: float) -> Callable[[Any], None]:
    """Puts a number into a parameter or buffer."""

    def change(model: Any) -> None:
        parent, _, name = path.rpartition(".")
        getattr(model.get_submodule(parent), name).data.view(-1)[0] = value

    return change


def module(path: str, make: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Replaces a module by one made with torch.nn."""

    def change(model: Any) -> None:
        import torch

        model.set_submodule(path, make(torch.nn))

    return change


def extra(path: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        import torch

        model.get_submodule(path).register_buffer("scale", torch.ones(3))

    return change


def unlisted(model: Any) -> None:
    model.yaml["backbone"][2][1] = 2


def endless_names(model: Any) -> None:
    """32 modules in one another under one name of 500 kB: their paths would take hundreds of megabytes."""
    name = "m" * 500_000
    inner = model.model
    for _ in range(30):
        inner._modules[name] = inner = type(model.model)()


def looping(model: Any) -> None:
    model.model[0]._modules["again"] = model.model[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # modules that do something else than the table says
        (replaced("model.3.conv.stride", (1, 1)), r"stride \(1, 1\) in model.3.conv"),
        (replaced("model.3.conv.padding", (0, 0)), r"padding \(0, 0\) in model.3.conv"),
        (replaced("model.3.conv.dilation", (2, 2)), r"dilation \(2, 2\) in model.3.conv"),
        (replaced("model.3.conv.padding_mode", "reflect"), "padding_mode 'reflect'"),
        (replaced("model.3.conv.groups", 2), "groups 2 in model.3.conv"),
        (replaced("model.2.m.0.add", False), "add False in model.2.m.0"),
        (replaced("model.7.m.0.add", True), "add True in model.7.m.0"),
        (replaced("model.4.n", 4), "n 4 in model.4"),
        (replaced("model.4.add", True), "add True in model.4"),
        (replaced("model.4.m.kernel_size", 3), r"kernel_size \(3, 3\) in model.4.m"),
        (replaced("model.5.mode", "bilinear"), "mode 'bilinear' in model.5"),
        (replaced("model.5.scale_factor", 3.0), r"scale_factor \(3.0, 3.0\) in model.5"),
        (replaced("model.6.d", 2), "d 2 in model.6"),
        (replaced("model.6.f", [-1, 1]), r"from \(5, 1\) in model.6"),
        (replaced("model.8.nc", 4), "nc 4 in model.8"),
        (module("model.3.act", lambda nn: nn.ReLU()), "holds ReLU as model.3.act, where .* SiLU"),
        (
            module("model.4.cv1.act", lambda nn: nn.Identity()),
            "holds Identity as model.4.cv1.act",
        ),  # YOLO26's
        (module("model.3", lambda nn: nn.Identity()), "from .* in model.3"),
        (module("model.3.conv", lambda nn: nn.Identity()), "holds Identity as model.3.conv"),
        (unlisted, "holds nothing as model.2.m.1"),  # fewer bottlenecks than the table says
        (replaced("model.8.stride", None), "has strides"),
        # tensors
        (
            module("model.3.conv", lambda nn: nn.Conv2d(16, 33, 3, 2, 1, bias=False)),
            "model.3.conv.weight of shape",
        ),
        (module("model.3.conv", lambda nn: nn.Conv2d(16, 32, 1, 2, 0, bias=False)), "kernel_size"),
        (
            module("model.3.bn", lambda nn: nn.BatchNorm2d(32, affine=False)),
            "lacks the tensor model.3.bn.weight",
        ),
        (module("model.3.bn", lambda nn: nn.BatchNorm2d(31)), r"model.3.bn.weight of shape \(31,\)"),
        (module("model.3.bn", lambda nn: nn.BatchNorm2d(32, eps=-1.0)), "eps -1.0 in model.3.bn"),
        (module("model.3.bn", lambda nn: nn.BatchNorm2d(32, eps=float("nan"))), "eps nan in model.3.bn"),
        (module("model.3.bn", lambda nn: nn.Identity()), "eps None in model.3.bn"),
        (poisoned("model.3.conv.weight", float("nan")), "NaN or infinite numbers in model.3.conv"),
        (poisoned("model.3.bn.weight", float("inf")), "NaN or infinite numbers in model.3.conv"),
        (poisoned("model.3.bn.running_var", -3.0), "variance below zero in model.3.bn"),
        (poisoned("model.3.bn.running_var", float("nan")), "NaN or infinite numbers in model.3.conv"),
        (poisoned("model.8.cv3.1.2.bias", float("-inf")), "NaN or infinite numbers in model.8.cv3.1.2"),
        (extra("model.3"), "tensors that no layer .* model.3.scale"),
        (extra("model.8.dfl"), "tensors that no layer .* model.8.dfl.scale"),
        (
            module("model.8.dfl.conv", lambda nn: nn.Conv2d(16, 1, 1, bias=False)),
            "other numbers in model.8.dfl.conv.weight",
        ),
        # metadata
        (without("yaml"), "no Ultralytics detection model|architecture table"),
        (replaced("yaml", "yolov8n.yaml"), "no Ultralytics detection model|architecture table"),
        (replaced("names", {0: "a"}), "has 1 class names for 3 classes"),
        (replaced("names", {0: "a", 1: "b", 7: "c"}), "as the name of class 2"),
        (replaced("names", ["a", "b", None]), "has None as the name of class 2"),
        (replaced("names", ["a", "b", ["c"]]), "as the name of class 2"),
        (replaced("names", None), "has no class names"),
        (looping, "nested without end"),
        (endless_names, "without usable names"),
    ],
)
def test_a_model_that_is_not_what_its_table_says_is_refused(
    tiny: Any, change: Callable[[Any], None], message: str
) -> None:
    changed = copy.deepcopy(tiny)
    change(changed)
    with pytest.raises(WeightsError, match=message):
        checkpoints.read(checkpoints.saved({"model": changed}))


def set_on(target: Any, attribute: str, value: Any) -> None:
    object.__setattr__(target, attribute, value)


def laughs(levels: int = 18) -> Any:
    """A value that is small in memory and takes megabytes when it is written out."""
    value: Any = ("ha",)
    for _ in range(levels):
        value = (value, value)
    return value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda m: {"state": laughs()}, "holds no model"),
        (lambda m: {"model": m, "ema": laughs()}, None),
        (lambda m: set_on(m, "yaml", {**m.yaml, "x": list(laughs())}), "in its architecture table"),
        (lambda m: set_on(m, "yaml", {**m.yaml, (1, 2): 1}), "in its architecture table"),
        (lambda m: set_on(m, "yaml", {**m.yaml, "x": [[0] * 300] * 300}), "in its architecture table"),
        (lambda m: set_on(m, "yaml", {**m.yaml, "depth_multiple": 10**5000}), "has a huge int in its"),
        (lambda m: set_on(m, "yaml", {**m.yaml, 10**5000: 1}), "has a huge int in its"),
        (lambda m: set_on(m, "names", [laughs()] * 3), r"as the name of class 0"),
        (lambda m: set_on(m, "names", {(0, 0): "a", 1: "b", 2: "c"}), "as the name of class 0"),
        (lambda m: set_on(m, "args", {"imgsz": laughs()}), None),
        (lambda m: set_on(m.model[3], "f", laughs()), "from .* in model.3"),
        (lambda m: set_on(m.model[2].m[0], "add", laughs()), "add .* in model.2.m.0"),
        (lambda m: set_on(m.model[3].conv, "stride", laughs()), "stride .* in model.3.conv"),
    ],
)
def test_values_that_hold_each_other_many_times_over(
    tiny: Any, content: Callable[[Any], Any], message: str | None
) -> None:
    """The billion laughs: none of them is written out."""
    changed = copy.deepcopy(tiny)
    made = content(changed)
    data = checkpoints.saved(made if isinstance(made, dict) else {"model": changed})
    if message is None:
        checkpoints.read(data)
    else:
        with pytest.raises(WeightsError, match=message) as caught:
            checkpoints.read(data)
        assert len(str(caught.value)) < 500


def test_all_unported_layers_are_named_at_once() -> None:
    from ultralytics.nn.tasks import DetectionModel

    with pytest.raises(WeightsError) as caught:
        checkpoints.read(
            checkpoints.saved({"model": DetectionModel("yolov8n-ghost.yaml", nc=2, verbose=False)})
        )
    assert str(caught.value) == (
        "holds a network with parts that are not ported: GhostConv (layers 1, 3, 5, 7, 16, 19), "
        f"C3Ghost (layers 2, 4, 6, 8, 12, 15, 18, 21); {REMEDY}"
    )


def test_classes_of_another_network_are_named_as_such() -> None:
    """They are no names of YOLOv8's, and no threat either."""
    from ultralytics.nn.tasks import DetectionModel

    table = checkpoints.tiny_table()
    table["backbone"][-1] = [-1, 1, "nn.AvgPool2d", [3, 1, 1]]
    with pytest.raises(WeightsError, match=r"not ported: nn.AvgPool2d \(layer 4\)"):
        checkpoints.read(checkpoints.saved({"model": DetectionModel(table, verbose=False)}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"holds \[\], not the dict"),
        (7, "holds 7, not the dict"),
        ({}, r"holds no model, only \[\]"),
        ({"model": None, "ema": None}, "holds no model"),
        ({"model.0.conv.weight": 1, "model.0.bn.weight": 2}, "state dict"),
        ({"model": {"model.0.conv.weight": 1}}, "holds no model"),
    ],
    ids=str,
)
def test_what_is_no_checkpoint_of_a_model_is_refused(content: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        checkpoints.read(checkpoints.saved(content))


@pytest.mark.parametrize(
    ("path", "attribute"),
    [
        ("model.2.m.0", "add"),
        ("model.3", "f"),
        ("model.3.conv", "stride"),
        ("model.3.conv", "groups"),
        ("model.3.bn", "eps"),
        ("model.4", "n"),
        ("model.5", "mode"),
        ("model.8", "nc"),
        ("", "names"),
        ("", "yaml"),
    ],
)
def test_a_tensor_where_a_value_belongs(tiny: Any, path: str, attribute: str) -> None:
    """Tensors compare element by element, and are neither true nor false."""
    import torch

    changed = copy.deepcopy(tiny)
    set_on(changed.get_submodule(path), attribute, torch.ones(3))
    with pytest.raises(WeightsError, match=r"Tensor|…|no class names"):
        checkpoints.read(checkpoints.saved({"model": changed}))
