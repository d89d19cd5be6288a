"""scripts/zoo.py, and docs/convert-zoo.md as it has written it."""

from __future__ import annotations

import json

import pytest
import torch
import zoo
from zoo_page import PAGE, page

from yolo_max.convert.factory import make_module
from yolo_max.convert.parity import RATIO


def test_the_page_is_what_was_found() -> None:
    found = json.loads(zoo.FOUND.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(found), "run python scripts/zoo.py --page"


def test_a_network_is_looked_at() -> None:
    found = zoo.look("unet")
    assert (found["kind"], found["convertible"], found["blockers"], found["error"]) == ("own", True, [], "")
    assert found["transposes"] == 2  # the image and the mask


def test_a_network_is_a_factory_by_its_name() -> None:
    assert not make_module("zoo:rrdb").training


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", [(1, 3, 224, 224)]),
        ("inception_v3", [(1, 3, 299, 299)]),
        ("swin_v2_t", [(1, 3, 256, 256)]),
        ("fcn_resnet50", [(1, 3, 224, 224)]),
        ("r3d_18", [(1, 3, 16, 112, 112)]),
        ("raft_small", [(1, 3, 128, 128)] * 2),
    ],
)
def test_the_shapes_of_inputs(name: str, expected: list[tuple[int, ...]]) -> None:
    assert zoo.shapes(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", [("batch", 3, "height", "width")]),
        ("vit_b_16", [("batch", 3, 224, 224)]),  # its positions are those of one size
        ("cnn", [("batch", 1, 28, 28)]),  # a linear layer reads all pixels
        ("transformer", [("batch", "length", 256)]),
        ("r3d_18", [("batch", 3, 16, 112, 112)]),
    ],
)
def test_sizes_that_may_be_any_are_named(name: str, expected: list[tuple[int | str, ...]]) -> None:
    assert zoo.named_shapes(name) == expected


@pytest.mark.parametrize(
    "names",
    [
        ("mini_resnet", "unet"),
        pytest.param(
            ("resnet18", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "densenet121"),
            marks=pytest.mark.zoo,
        ),
        pytest.param(("resnet50", "convnext_tiny", "unet", "rrdb"), marks=pytest.mark.zoo),
        pytest.param(("vit_b_16",), marks=pytest.mark.zoo),
        pytest.param(("vgg16",), marks=pytest.mark.zoo),
        pytest.param(("deeplabv3_resnet50",), marks=pytest.mark.zoo),
    ],
    ids="+".join,
)
def test_one_graph_is_right_at_every_batch_and_size(names: tuple[str, ...]) -> None:
    found = zoo.run(names, zoo.named_shapes(names[0]))
    assert len(found[names[0]]["at"]) == 3
    assert {name: each["ratio"] for name, each in found.items() if not each["ratio"] <= RATIO} == {}


@pytest.mark.parametrize(
    "names",
    [
        ("mini_resnet", "mobilenet_v2"),
        pytest.param(
            ("resnet18", "mobilenet_v3_large", "efficientnet_b0", "densenet121", "unet"),
            marks=pytest.mark.zoo,
        ),
        pytest.param(("resnet50", "convnext_tiny", "deeplabv3_resnet50"), marks=pytest.mark.zoo),
        pytest.param(("vgg16",), marks=pytest.mark.zoo),
    ],
    ids="+".join,
)
def test_one_graph_is_right_at_every_batch_of_images_of_one_size(names: tuple[str, ...]) -> None:
    found = zoo.run(names, [("batch", 3, 224, 224)])
    assert found[names[0]]["at"] == [((batch, 3, 224, 224),) for batch in (1, 3, 2)]
    assert {name: each["ratio"] for name, each in found.items() if not each["ratio"] <= RATIO} == {}


def test_networks_are_compiled_together_up_to_a_size() -> None:
    small, large = {"parameters": 1000}, {"parameters": zoo.MOST}
    found = {
        "unet": small,
        "rrdb": small,
        "resnet18": large,
        "resnet34": small,
        "vit_b_16": small,
        "vgg11": {},
    }
    assert zoo.groups(list(found), found) == [
        ["unet", "rrdb"],
        ["resnet18"],
        ["resnet34"],
        ["vit_b_16"],  # its images are larger
        ["vgg11"],  # not looked at
    ]


def test_networks_that_are_compiled_together_return_what_each_does() -> None:
    together = zoo.Together([torch.nn.ReLU(), torch.nn.Flatten()])
    first, second = together(x := torch.tensor([[[-1.0, 2.0]]]))
    assert (first.tolist(), second.tolist()) == ([[[0, 2]]], [x.flatten().tolist()])


def test_the_page_says_what_was_run() -> None:
    times = {
        "max": {"ms": {"p50": 5.0}, "speed_up": 2.0},
        "torch": {"ms": {"p50": 10.0}, "speed_up": 1.0},
        "openvino": {"ms": {"p50": 8.0}, "speed_up": None},  # no parity
    }
    verdict = {"kind": "classification", "parameters": 2_500_000, "operations": 7, "error": ""}
    found = {
        "good": {
            **verdict,
            "convertible": True,
            "blockers": [],
            "run": {"input": [[1, 3, 64, 64]], "ratio": 1.234},
            "any_size": {
                "input": [["batch", 3, "height", "width"]],
                "at": [[[1, 3, 64, 64]], [[2, 3, 96, 64]]],
                "ratio": 1.5,
            },
            "time": {"shapes": [[1, 3, 224, 224]], "engines": times},
        },
        "bad": {**verdict, "convertible": False, "blockers": ["aten.conv3d.default"]},
    }
    text = page(found)
    assert (
        "**1 of 2** of torchvision's networks are convertible, 1 are not, 0 were not looked at. 1 net" in text
    )
    assert "| good | 1 x 3 x 64 x 64 | 1.23 |" in text
    assert "| good | batch x 3 x height x width | 1 x 3 x 64 x 64, 2 x 3 x 96 x 64 | 1.50 |" in text
    assert "| good | 1 x 3 x 224 x 224 | 5.0 | 0.50 | – | – | – |" in text
    assert "| bad | 2.5 M | 7 | `aten.conv3d.default` |" in text
