"""Image sizes and classes as people write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from yolo_max.support.errors import UsageError
from yolo_max.support.parse import parse_classes, parse_device, parse_imgsz

NAMES = {0: "person", 1: "bicycle", 2: "car", 3: "traffic light", 4: "7"}


@pytest.mark.parametrize(
    ("imgsz", "expected"),
    [
        (640, (640, 640)),
        ((480, 640), (480, 640)),  # height, width
        ([32, 8192], (32, 8192)),  # both ends
        (np.int64(640), (640, 640)),  # from an array
    ],
)
def test_imgsz(imgsz: Any, expected: tuple[int, int]) -> None:
    assert parse_imgsz(imgsz) == expected


@pytest.mark.parametrize(
    ("imgsz", "expected"), [(33, (64, 64)), ((630, 640), (640, 640)), ((100, 200), (128, 224))]
)
def test_imgsz_is_rounded_up_with_a_warning(imgsz: Any, expected: tuple[int, int]) -> None:
    with pytest.warns(UserWarning, match="is not a multiple of 32"):
        assert parse_imgsz(imgsz) == expected


@pytest.mark.parametrize(
    "imgsz", [0, -32, 31, 100000, (640, 0), (640,), (1, 2, 3), 640.0, (640, float("nan")), True, "640"]
)
def test_bad_imgsz(imgsz: Any) -> None:
    with pytest.raises(UsageError, match="imgsz is"):
        parse_imgsz(imgsz)


def test_imgsz_follows_the_stride() -> None:
    with pytest.warns(UserWarning, match="multiple of 64"):
        assert parse_imgsz(96, stride=64) == (128, 128)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (None, None),
        (2, (2,)),
        ("car", (2,)),
        (["car", 0, "car", "0"], (0, 2)),  # each once, ascending
        (["Traffic Light"], (3,)),  # upper and lower case are alike
        ([" person "], (0,)),
        (["7"], (4,)),  # a name before an id
    ],
)
def test_classes(classes: Any, expected: tuple[int, ...] | None) -> None:
    assert parse_classes(classes, NAMES) == expected


def test_classes_of_one_name_are_all_meant() -> None:
    assert parse_classes("cat", {0: "cat", 1: "dog", 2: "Cat"}) == (0, 2)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["persn"], "no class 'persn'; did you mean 'person'"),
        (["trafic light"], "did you mean 'traffic light'"),
        (["zebra"], "no class 'zebra'; it knows person, bicycle, car"),
        ([5], "no class 5; its class ids run from 0 to 4"),
        (["-1"], "no class -1"),
        ([], "classes is empty"),
        ([1.0], "classes has 1.0, but it must be one or more ids or names"),
        ([True], "classes has True"),  # a number to Python
        ([None], "classes has None"),
        (1.5, "classes is 1.5, but it must be one or more ids or names"),
        ([10**5000], "no class a huge int"),
        (["9" * 5000], "no class '999"),
        (["cat"], "no class 'cat'; it knows"),  # a `car` is another thing
    ],
)
def test_bad_classes(classes: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_classes(classes, NAMES)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        *[(word, word) for word in ("auto", "cpu", "gpu")],
        *[(word, "gpu") for word in ("gpu:0", "cuda", "cuda:0", "0", "GPU", " 0 ")],  # as PyTorch says it
    ],
)
def test_device(device: str, expected: str) -> None:
    assert parse_device(device) == expected


@pytest.mark.parametrize("device", ["", "tpu", "mps", "1", "cuda:1", "gpu:1", "0,1", "-1"])
def test_bad_device(device: str) -> None:
    with pytest.raises(UsageError, match=r"there is no device .*; use auto, cpu or gpu"):
        parse_device(device)
